"""What MongoDB's errors mean."""

from collections.abc import Mapping

from pymongo.errors import DocumentTooLarge, DuplicateKeyError, NotPrimaryError, OperationFailure, PyMongoError

from repositories.errors import Conflict, Contention, Invalid, MovedAway, ReadOnly, StoreError, Unavailable

ROLE = "documents"
DOCUMENT_REFUSED = 121
DOCUMENT_TOO_LARGE = 10334
# The field in the validator of a place that takes no writes. The server says which condition was not met.
REFUSES_ALL = "quartet_moved"
LOST_RACES = {24, 112, 246}  # LockTimeout, WriteConflict, SnapshotUnavailable
NO_PRIMARY = {10107, 13435}  # NotWritablePrimary, NotPrimaryNoSecondaryOk
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
# Also what a router has where documents moved to another shard meanwhile.
AGAIN = "TransientTransactionError"


class Demoted(ReadOnly):
    """The member that was asked is no primary any more, and has done nothing of the command."""


def lost_race(error: Exception) -> bool:
    return isinstance(error, OperationFailure) and (error.code in LOST_RACES or error.has_error_label(AGAIN))


def is_locked(error: PyMongoError) -> bool:
    """Whether a write outside of transactions waited in vain for a document that a transaction has locked."""
    return error.timeout or getattr(error, "code", None) in LOST_RACES


def _did_nothing(error: NotPrimaryError) -> bool:
    """Whether the command was refused. Of one that was interrupted, or of a commit, it is not known."""
    details = error.details if isinstance(error.details, Mapping) else {}
    return details.get("code") in NO_PRIMARY and not error.has_error_label(UNKNOWN_COMMIT)


def translated(error: Exception) -> StoreError:  # noqa: PLR0911  one line for each kind
    """The port's word for what the driver raised."""
    code = getattr(error, "code", None)
    if isinstance(error, DuplicateKeyError):
        return Conflict("id")
    if refuses_all(error):
        return MovedAway(ROLE, "this role has moved to another place")
    if lost_race(error):
        return Contention(str(error))
    if code in {DOCUMENT_REFUSED, DOCUMENT_TOO_LARGE} or isinstance(error, DocumentTooLarge):
        return Invalid(str(error))
    if isinstance(error, NotPrimaryError) and _did_nothing(error):
        return Demoted(ROLE, str(error))
    if isinstance(error, PyMongoError):
        return Unavailable(ROLE, f"{type(error).__name__}: {error}")
    return Invalid(str(error))


def refuses_all(error: Exception) -> bool:
    """Whether the place takes no writes. A write of many says so of each of them."""
    return isinstance(error, OperationFailure) and REFUSES_ALL in str(error.details)
