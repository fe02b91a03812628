"""What a trained model shows: suites of checks, memorisation, gates on intervals. `tunebird_checks` knows answers, this
package knows models, and neither knows how a model was trained."""

from tunebird_trainer.evaluation.command import main
from tunebird_trainer.evaluation.evaluating import evaluate, preflight
from tunebird_trainer.evaluation.report import EvaluationReport, Status, entries_of, failure_of

__all__ = ["EvaluationReport", "Status", "entries_of", "evaluate", "failure_of", "main", "preflight"]
