"""Checks of a model's answers: suites, verdicts, intervals. Used by evaluation and by golden probes; pulls in no torch.

suite = tunebird_checks.load("suite.jsonl")
verdicts = tunebird_checks.check(Answer("The capital is Paris."), suite.cases[0])
"""

from tunebird_checks.answers import Answer, Outcome, Verdict, overall
from tunebird_checks.checking import check
from tunebird_checks.suite import Case, InvalidSuite, Suite, load

__all__ = ["Answer", "Case", "InvalidSuite", "Outcome", "Suite", "Verdict", "check", "load", "overall"]
