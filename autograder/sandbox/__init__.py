"""Where learners' code runs at grading: a warm process behind bubblewrap that forks one child for each submission."""

from autograder.sandbox.launch import Sandbox, SandboxUnavailable, StudentProcess
from autograder.sandbox.limits import Limits

__all__ = ["Limits", "Sandbox", "SandboxUnavailable", "StudentProcess"]
