"""The driver's errors as ours: every constraint that a client can break has its words, and a lost connection is no fault of ours."""

from typing import Any

import asyncpg
import pytest

from mentha.core.errors import ConstraintViolated, Unavailable
from mentha.store import failures, migrate, pool
from mentha.store.failures import translated
from tests.support.transactions import refusal

# No request can break these: their values are made by the server alone, or deleted along.
OURS = {
    "api_key_digest_valid",
    "api_key_limits_positive",
    "encryption_key_current_once",
    "encryption_key_state_valid",
    "chunk_doc_exists",
    "doc_digest_valid",
    "doc_owner_single",
    "doc_title_length",
    "embedder_active_once",
    "embedder_dimensions_valid",
    "embedder_state_valid",
    "entry_seq_taken",
    "execution_idempotency_key_taken",
    "execution_scheduled_once",
    "execution_status_valid",
    "file_hash_valid",
    "file_owner_single",
    "file_text_file_exists",
    "job_progress_valid",
    "job_state_valid",
    "relation_head_exists",
    "relation_session_exists",
    "relation_tail_exists",
    "response_continued_once",
    "response_status_valid",
    "secret_key_known",
    "session_user_session_exists",
    "task_version_task_exists",
    "token_ratio_valid",
    "tool_call_state_known",
    "tool_run_has_one_owner",
    "turn_session_exists",
    "vector_chunk_exists",
    "vectors_embedder_id_fkey",
}
NAMED = """
SELECT conname AS name FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
WHERE n.nspname = 'public' AND contype IN ('c', 'u', 'f') AND conname !~ '_tenant_id_fkey$'
UNION SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE n.nspname = 'public' AND x.indisunique AND NOT x.indisprimary
"""


async def test_every_named_constraint_has_its_words_or_can_not_be_broken_by_a_request(connection: Any) -> None:
    known = {
        name
        for table in vars(failures).values()
        if isinstance(table, dict) and table is not vars(failures)["__builtins__"]
        for name in table
    }
    named = {row["name"] for row in await connection.fetch(NAMED)}
    assert named - known - OURS == set()


@pytest.mark.parametrize("value", ["99999999999999999999", "'x'", "1 / 0"])
async def test_value_out_of_range_is_the_clients_fault(connection: Any, value: str) -> None:
    assert isinstance(await refusal(connection, connection.execute(f"SELECT ({value})::bigint")), ConstraintViolated)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("x"),
        asyncpg.CannotConnectNowError("x"),
        asyncpg.AdminShutdownError("x"),
        asyncpg.CrashShutdownError("x"),
        asyncpg.TooManyConnectionsError("x"),
        asyncpg.DiskFullError("x"),
        asyncpg.DeadlockDetectedError("x"),
        asyncpg.SerializationError("x"),
        asyncpg.QueryCanceledError("x"),
        asyncpg.IdleInTransactionSessionTimeoutError("x"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_database_that_is_away_is_unavailable_and_a_retry_helps(error: Exception) -> None:
    found = translated(error)
    assert isinstance(found, Unavailable)
    assert found.retry
    assert found.retry_after_s


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedColumnError("x"),
        asyncpg.PostgresSyntaxError("x"),
        asyncpg.InsufficientPrivilegeError("x"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InternalClientError("unexpected"),
        asyncpg.UniqueViolationError("a constraint without words"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_fault_of_ours_stays_what_it_is(error: Exception) -> None:
    assert translated(error) is error


def test_modules_that_name_constraints_are_the_ones_that_migrate() -> None:
    """Each name in the tables is one of the schema, so that none is misspelt."""
    schema = "".join(migration.sql for migration in migrate.migrations())
    tables = [vars(failures)[name] for name in ("_CONFLICTS", "_MISSING", "_BROKEN", "_PARTICIPANTS")]
    # Names of primary keys are PostgreSQL's own.
    assert [name for table in tables for name in table if name not in schema and not name.endswith("_pkey")] == []
    assert pool.FAILURES is failures.FAILURES
