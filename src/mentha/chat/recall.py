"""Second stage of a turn: what the documents of the active agent and of all users say to what was said last."""

from uuid import UUID

from mentha.chat import recalled
from mentha.chat.context import Context
from mentha.chat.recalled import Recalled
from mentha.providers.embedders import Embedders
from mentha.recall import language, search
from mentha.recall.search import Query
from mentha.store import turns
from mentha.store.chunks import Scope, owner_of
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.wire import filters
from mentha.wire.chat import ChatInput


async def recall(database: Database, embedders: Embedders, meter: Meter, tenant: UUID, context: Context, request: ChatInput) -> Recalled:
    """Search for a turn; gives nothing where nobody has documents, where the request wants none, or where nothing was said in words.

    No database connection is held while the query is embedded. An embedder that fails costs the search its part by meaning, not the turn.

    Raises:
        Unavailable: the database is away.
    """
    if not (request.recall and context.has_docs):
        return Recalled()
    options = recalled.options_of(context.session["recall_options"])
    texts = recalled.said(request.messages)
    if len(texts) < options.num_search_messages and context.last_seq:
        session_id = UUID(context.session["id"])
        async with database.connection() as connection:
            before = await turns.recent(
                connection, tenant, session_id, up_to_seq=context.last_seq, limit=options.num_search_messages - len(texts)
            )
        texts = [*recalled.said_before(before), *texts]
    texts = texts[-options.num_search_messages :]
    if not texts:
        return Recalled()
    scope = Scope(_owners(context), filters.to_jsonpath(options.metadata_filter))
    words_min = 0.0 if context.session["recall_options"] else recalled.DEFAULT_WORDS_MIN
    result = await search.search(database, embedders, meter, tenant, scope, _query(options, texts, words_min))
    references = [search.reference(hit, include_embeddings=options.include_embeddings) for hit in result.found]
    return Recalled(references, recalled.for_templates(references), result.warnings)


def _owners(context: Context) -> tuple[str, ...]:
    users = [owner_of("user", UUID(user["id"])) for user in context.users]
    return (owner_of("agent", UUID(context.agent["id"])), *users)


def _query(options: recalled.Options, texts: list[str], words_min: float) -> Query:
    names = ("confidence", "alpha", "mmr_strength", "k_multiplier")
    given = {name: getattr(options, name) for name in names if name in type(options).model_fields}
    return Query(
        mode=options.mode,
        text=recalled.by_words(texts, options.max_query_length),
        vector_texts=recalled.by_meaning(texts, options.max_query_length),
        limit=options.limit,
        words_min=words_min,
        language=language.of_tag(options.lang),
        trigram_threshold=getattr(options, "trigram_similarity_threshold", None),
        **given,
    )
