"""The driver's errors as ours. Constraints have names; what a broken one means to a client stands in one table here."""

import asyncpg

from mentha.core.errors import Conflict, ConstraintViolated, NotFound, ParticipantInvalid, Unavailable

# What the driver and the socket below it raise. TimeoutError is an OSError.
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.CannotConnectNowError,
    OSError,
)

_CONFLICTS = {
    "project_canonical_name_taken": "a project with this canonical_name exists",
    "agent_canonical_name_taken": "an agent with this canonical_name exists",
    "task_canonical_name_taken": "a task with this canonical_name exists",
    "tool_name_taken": "the agent has a tool with this name",
    "tenant_name_taken": "a tenant with this name exists",
    "api_key_digest_taken": "this key is in use already",
    "projects_pkey": "a project with this id exists",
    "secret_name_taken": "a secret with this name exists",
    "doc_content_taken": "the owner has a document with this title and content",
}
_MISSING = {
    "tool_agent_exists": "No agent found during create",
    "task_agent_exists": "No agent found during create",
    "doc_agent_exists": "No agent found during create",
    "doc_user_exists": "No user found during create",
    "file_agent_exists": "No agent found during create",
    "file_user_exists": "No user found during create",
    "file_project_exists": "No project found",
    "agent_project_exists": "No project found",
    "user_project_exists": "No project found",
    "turn_session_exists": "No session found",
    "entry_session_exists": "No session found",
    "response_session_exists": "No session found",
    # An agent joins a conversation that is deleted at the same time.
    "session_agent_session_exists": "No session found",
    "tool_run_session_exists": "No session found",
    "tool_round_run_exists": "No session found",
    "execution_task_exists": "No task found during create",
    "execution_session_exists": "No session found",
    "execution_user_exists": "No user found",
    "transition_execution_exists": "No execution found",
    "schedule_task_exists": "No task found during create",
    "tool_call_round_exists": "No session found",
}
_BROKEN = {
    "agent_about_length": "about: at most 16,000 characters",
    "file_description_length": "description: at most 16,000 characters",
    "file_not_empty": "content: an empty file can't be stored",
    "agent_template_not_blank": "default_system_template: must not be blank",
    "session_situation_not_blank": "situation: must not be blank; leave it out or send null",
    "session_template_not_blank": "system_template: must not be blank; leave it out or send null",
    "session_token_budget_positive": "token_budget: must be above 0",
    "secret_name_valid": "name: a letter, then letters, digits and underscores; 255 characters at most",
    "tenant_name_valid": "a tenant's name has 1 to 63 lower-case letters, digits, dots, dashes and underscores",
}
_PARTICIPANTS = {
    "session_agent_exists": "The specified participant ID is invalid: no such agent",
    "session_user_exists": "The specified participant ID is invalid: no such user",
}


def translated(error: Exception) -> Exception:  # noqa: PLR0911 - a table of decisions, one line each
    """The error to raise in place of `error`; itself where it stands for a fault of ours."""
    constraint = getattr(error, "constraint_name", None) or ""
    if isinstance(error, asyncpg.UniqueViolationError) and constraint in _CONFLICTS:
        return Conflict(_CONFLICTS[constraint])
    if constraint in _PARTICIPANTS:
        return ParticipantInvalid(_PARTICIPANTS[constraint])
    if constraint in _MISSING:
        return NotFound(_MISSING[constraint])
    if isinstance(error, asyncpg.CheckViolationError) and constraint in _BROKEN:
        return ConstraintViolated(_BROKEN[constraint])
    if isinstance(error, asyncpg.CharacterNotInRepertoireError):
        return ConstraintViolated("a text holds a NUL character, which can't be stored or looked for")
    if isinstance(error, asyncpg.exceptions.DataError):
        return ConstraintViolated("a value is out of range")
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("the database took too long", retry_after_s=2)
    # The driver uses one class for a lost connection and for misuse; only the former is not our fault.
    # Closing the pool takes lent connections back ("released").
    lost = isinstance(error, asyncpg.InterfaceError) and any(word in str(error) for word in ("clos", "released"))
    # How the driver refuses a statement between PostgreSQL's last word on a connection (it is stopped, or crashed) and the connection's end.
    ending = isinstance(error, asyncpg.InternalClientError) and "cannot switch to state" in str(error)
    if isinstance(error, _GONE) or lost or ending:
        return Unavailable("the database is not available now", retry_after_s=1)
    return error
