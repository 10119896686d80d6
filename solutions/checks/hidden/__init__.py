"""Images that no learner gets, on which the capstone's recipes are scored: see make_data.py. A package, so that what a
verdict depends on includes them.
"""
