"""Tasks that were published are run to their end by the official SDK, against services and models on loopback.

Which of the corpus are taken at all is shown in tests/unit/test_task_checks.py; here each that is taken runs, all at once. What a reader of
the pages would fill in is filled in: hosts become those of loopback and placeholders of files become files (`SWAPS`), keys come by
`x-integrations-setup` in the task's metadata. What fails, fails for the reason beside it.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from julep import AsyncJulep

from tests.support import published, shared
from tests.support.mcp_server import serving
from tests.support.model_server import ModelServerHandle, Reply, text, tool_calls
from tests.support.sdk import Account, asked, async_sdk
from tests.support.server import ServerProcess
from tests.support.talk import until
from tests.support.vendors import weather
from tests.unit.test_task_checks import REFUSED

pytestmark = [
    # MCP servers of the SDK leave streams to the garbage collector.
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAGES, SAMPLES = "documentation-documentation-", "sample-tasks-src-agents-api-tests-sample-tasks-"
FILE = "VGVh"
OSLO = weather.TEXT.removeprefix("In Oslo")
SWAPS = {
    "https://hacker-news.firebaseio.com": "URL/news",
    # A call may change a tool's address within its origin.
    'url: "https://example.com"': 'url: "URL/news"',
    # Python before 3.12 knows no other way.
    '{_["comment_id"]}': "{_[''comment_id'']}",
    "https://r.jina.ai": "URL/jina",
    "https://mcp.deepwiki.com/mcp": "HTTP",
    "https://mcp.deepwiki.com/sse": "SSE",
    "https://api.githubcopilot.com/mcp/": "HTTP",
    "base64_encoded_file": FILE,
    "document_base64": FILE,
    # `unstructured` checks the names of its parameters.
    "    partition_params:\n      key1: value1 ": "    partition_params:\n      strategy: fast ",
    # A model that the server of the tests has.
    "gemini/gemini-1.5-pro": "MODEL",
    # It would be tried again for some seconds.
    "- tool: email_tool\n": "- tool: email_tool\n  retry: 1\n",
}


@dataclass(frozen=True)
class Run:
    """How a task is run, and how it ends.

    Attributes:
        says: what the model answers in turn; then `ok: …`.
        answers: for each time that it waits for its client.
        gives: the output, of an object some of its members; None where it says no more than that it came.
        fails: words of the message that it fails with, for the reason `why`; empty where it succeeds.
        agent: tools of the agent.
    """

    given: dict[str, Any] = field(default_factory=dict[str, Any])
    gives: Any = None
    says: tuple[Reply, ...] = ()
    answers: tuple[Any, ...] = ()
    fails: str = ""
    why: str = ""
    agent: tuple[Any, ...] = ()


# Refused by Python before 3.12 for its quotes, which are mended here.
MENDED = {"tutorials-hacker-news-newsletter-mdx-block9"}
MAIL: Any = {"name": "send_email", "type": "function", "function": {"parameters": {"type": "object"}}}
WEATHER: Any = {"name": "get_weather_info", "type": "integration", "integration": {"provider": "weather", "setup": weather.VENDOR.setup}}
COMPUTER: Any = {"name": "computer", "type": "computer_20241022", "computer_20241022": {}}
ACTIONS = [("computer", {"action": "type", "text": "http://tea.example"}), ("computer", {"action": "screenshot"})]
# The tools of the server are offered one by one.
WIKI = [("mcp_discover", {}), ("mcp_execute_read_wiki_structure", {"repoName": "facebook/react"})]
LETTER = {"customer_email": "bo@example.org", "subject": "Tea", "body": "Where is it?"}
REQUEST = {
    "request": {"url": "https://example.com", "method": "GET", "headers": {}, "body": ""},
    "response": {"status": 200, "headers": {}, "body": "I am ann"},
}
VIDEO = {"video_url": "https://example.com/a.mp4", "public_id": "tea", "transformation_prompt": "make it small"}
RUNS: dict[str, Run] = {
    "advanced-agentic-patterns-mdx-block0": Run(
        {"audience": "all", "features": "x", "seo_keywords": "y"},
        fails="there is no 'content'",
        why="its `unwrap` stands inside of the message, so that a completion comes, which has no `content`",
    ),
    "advanced-python-expression-mdx-block6": Run(gives={"csv_data": [["a", "b", "c"], ["1", "2", "3"]]}),
    "advanced-types-of-task-steps-mdx-block18": Run({"topic": "tea"}, {"topic": "tea"}),
    "advanced-types-of-task-steps-mdx-block4": Run(gives={"subworkflow_result": "This is the subworkflow"}),
    "concepts-tasks-mdx-block15": Run(LETTER, {"sent": True}, agent=(MAIL,), answers=({"sent": True},)),
    "concepts-tasks-mdx-block16": Run(gives={"result": f"In New York{OSLO}"}, agent=(WEATHER,)),
    "concepts-tasks-mdx-block18": Run(gives={"result": f"In New York{OSLO}"}),
    "concepts-tasks-mdx-block2": Run(gives={"object": "chat.completion"}),
    "concepts-tasks-mdx-block8": Run(
        {"feedback_text": "x", "location": "Oslo"},
        fails="there is no 'location'",
        why="`weather` gives its text as `result`, in the original too",
    ),
    "concepts-tasks-mdx-block9": Run({"document_text": "Tea"}, {"content": "ok: Analyze the following text and create a summary:\nTea"}),
    "concepts-tools-mdx-block1": Run({"sub_task_id": "SUB"}, {"status": "queued", "input": {}}),
    "concepts-tools-mdx-block2": Run(),
    "concepts-tools-mdx-block4": Run(gives={"ok": True}, answers=({"ok": True},)),
    "concepts-tools-mdx-block5": Run(gives={"sum": 42}, answers=({"sum": 42},)),
    "integrations-communicationdata-email-mdx-block0": Run(
        fails="certificate", why="nobody vouches for the mail server of the tests, and mail goes under TLS alone"
    ),
    "integrations-communicationdata-google-sheets-mdx-block0": Run(gives={"values": [["Name", "Score"], ["Ann", 95]]}),
    "integrations-communicationdata-google-sheets-mdx-block1": Run(gives={"updated_rows": 2}),
    "integrations-communicationdata-google-sheets-mdx-block2": Run(gives={"spreadsheet_id": "YOUR_SPREADSHEET_ID"}),
    "integrations-communicationdata-google-sheets-mdx-block3": Run(gives={"spreadsheet_id": "YOUR_SPREADSHEET_ID"}),
    "integrations-communicationdata-google-sheets-mdx-block4": Run(),
    "integrations-communicationdata-google-sheets-mdx-block5": Run(),
    "integrations-communicationdata-weather-mdx-block0": Run(gives={"result": f"In London{OSLO}"}),
    "integrations-extensibility-mcp-mdx-block0": Run(gives={"text": "structure of facebook/react", "is_error": False}),
    "integrations-extensibility-mcp-mdx-block1": Run(gives={"text": "structure of julep-ai/julep", "is_error": False}),
    "integrations-extensibility-mcp-mdx-block2": Run(gives={"text": "3 of julep language:python", "is_error": False}),
    "integrations-extensibility-mcp-mdx-block4": Run(gives={"object": "chat.completion"}, says=(tool_calls(WIKI), text("done"))),
    "integrations-mediafile-cloudinary-mdx-block0": Run(gives={"public_id": "my_image"}),
    "integrations-mediafile-ffmpeg-mdx-block0": Run(fails="ffmpeg", why="off until the operator names the program; without a shell then"),
    "integrations-mediafile-llamaparse-mdx-block0": Run(),
    "integrations-mediafile-unstructured-mdx-block0": Run(gives={"status_code": 200}),
    "integrations-search-algolia-mdx-block0": Run(),
    "integrations-search-arxiv-mdx-block0": Run(gives={"result": []}),
    "integrations-search-brave-mdx-block0": Run(),
    "integrations-search-wikipedia-mdx-block0": Run(),
    "integrations-webbrowser-browserbase-mdx-block0": Run(gives={"id": "s1"}),
    "integrations-webbrowser-remote-browser-mdx-block0": Run(gives={"output": "navigated to https://www.google.com"}),
    "integrations-webbrowser-spider-mdx-block0": Run({"url": "https://example.com"}),
    "introduction-quickstart-mdx-block1": Run({"topic": "tea"}, {"object": "chat.completion"}),
    "introduction-quickstart-mdx-block8": Run({"topic": "tea"}, {"object": "chat.completion"}),
    "sdks-index-mdx-block2": Run(gives={"object": "chat.completion"}),
    "sdks-python-tasks-mdx-block1": Run(
        {"topic": "tea", "depth": 2}, fails="there is no 'topic'", why="`_` is what the prompt gave, no longer the input"
    ),
    "sdks-python-tools-integration-mdx-block5": Run(
        {"topic": "tea"},
        answers=({"email": "bo@example.org", "summary": "s"},),
        fails='"from" is a required property',
        why="it names no sender",
    ),
    "tutorials-browser-use-mdx-block14": Run({"goal": "tea"}, says=(tool_calls(ACTIONS), text("done")), agent=(COMPUTER,)),
    "tutorials-hacker-news-newsletter-mdx-block9": Run(
        {"user_preferences": ["tea"]},
        says=(text('{"relevance_score": 80}'), text('{"relevance_score": 20}')),
    ),
    "tutorials-rag-chatbot-mdx-block5": Run({"url": "https://example.com/tea", "reducing_strength": 2}),
    "tutorials-trip-planning-workflow-mdx-block6": Run({"locations": ["Oslo", "Bergen"]}),
    "tutorials-video-processing-mdx-block7": Run(VIDEO, says=(text('```json\n[{"width": 250}]\n```'),)),
    "find-selector": Run(
        {"screenshot_base64": FILE, "parameters": ["name"], "network_requests": [REQUEST]},
        {"result": [{"value": "ann", "network_request": REQUEST}]},
        says=(text("found: true\nvalue: ann"),),
    ),
    "reclaim-example": Run(
        {"screenshot_base64": FILE, "parameter_names": ["rating"]},
        # As in the original: what calls a function is an expression only after `$ `.
        [{"parsed_result": "load_json(_.split('```json')[1].split('```')[0])"}],
        says=(text('```json\n{"rating": "1500"}\n```'),),
    ),
    "simple-multi-step": Run({"topics": ["tea", "cups"]}, {"result": ["ok:", "ok:"]}),
    # Its `result` stands beside `evaluate`, which is empty.
    "simple-parameter-extractor": Run({"screenshot_url": "https://example.com/a.png"}),
    "simple-prompt": Run({"topic": "tea"}, {"object": "chat.completion"}),
}


async def _ended(sdk: AsyncJulep, execution: str, answers: tuple[Any, ...]) -> Any:
    """The execution once it has ended, each of its waits answered in turn."""
    left = list(answers)
    while True:
        seen: list[Any] = []

        async def rests(seen: list[Any] = seen) -> bool:
            seen[:] = [await sdk.executions.get(execution)]
            return seen[0].status in ("succeeded", "failed", "cancelled", "awaiting_input")

        await until(rests)
        if seen[0].status != "awaiting_input":
            return seen[0]
        await sdk.executions.change_status(execution, status="running", input=left.pop(0))


@contextlib.asynccontextmanager
async def _wikis() -> AsyncGenerator[dict[str, str]]:
    """Addresses of MCP servers with the tools that the pages call, by transport."""
    async with serving("http") as http, serving("sse") as sse:
        for server in (http, sse):
            server.made.add_tool(lambda repoName: f"structure of {repoName}", name="read_wiki_structure", structured_output=False)
            server.made.add_tool(_search, name="search_repositories", structured_output=False)
        yield {"HTTP": http.url, "SSE": sse.url}
    # Here, where their warnings are expected.
    gc.collect()


def _search(query: str, perPage: int, minimal_output: bool) -> str:  # noqa: N803 - GitHub's names
    return f"{perPage if minimal_output else 0} of {query}"


async def _run(
    sdk: AsyncJulep, models: ModelServerHandle, services: published.Services, name: str, run: Run, places: Mapping[str, str]
) -> Any:
    """How a task of the corpus ended."""
    (file,) = shared.path("corpus/tasks").glob(f"*-{name}.yaml")
    source, model = file.read_text(), f"model-{name}"
    for old, new in SWAPS.items():
        place = places.get(new, new).replace("URL", services.url).replace("MODEL", model)
        source = source.replace(old, place)
    models.script(model, *run.says)
    agent = await sdk.agents.create(name="Mia", about="An agent", model=model, instructions=["Be brief"])
    for tool in run.agent:
        await sdk.agents.tools.create(agent_id=agent.id, **tool)
    # Pieces of pages lack the name.
    definition: dict[str, Any] = {"name": name, **yaml.safe_load(source)}
    metadata = {"x-integrations-setup": services.setups(definition.get("tools", []))}
    more = {key: value for key, value in definition.items() if key not in ("name", "main")}
    task = await sdk.tasks.create(agent.id, name=definition["name"], main=definition["main"], metadata=metadata, extra_body=more)
    given = run.given
    if "sub_task_id" in given:
        given = {"sub_task_id": (await sdk.tasks.create(agent.id, name="sub", main=[{"log": "x"}])).id}
    return await _ended(sdk, (await sdk.executions.create(task.id, input=given)).id, run.answers)


async def test_published_task_runs_to_its_end_or_fails_for_its_own_fault(
    server: ServerProcess, account: Account, models: ModelServerHandle, services: published.Services
) -> None:
    names = {file.stem.removeprefix(PAGES).removeprefix(SAMPLES) for file in shared.path("corpus/tasks").glob("*.yaml")}
    refused = {name.removeprefix(PAGES).removeprefix(SAMPLES) for name in REFUSED}
    assert RUNS.keys() - MENDED == names - refused
    # A client that checks strictly refuses definitions beyond the published shapes.
    async with async_sdk(server.url, account.key, _strict_response_validation=False) as sdk, _wikis() as places:
        works = [_run(sdk, models, services, name, run, places) for name, run in RUNS.items()]
        ended = await asyncio.gather(*works, return_exceptions=True)
    told = {name: _told(each, run) for (name, run), each in zip(RUNS.items(), ended, strict=True)}
    assert told == {name: ("failed", run.fails) if run.fails else ("succeeded", run.gives) for name, run in RUNS.items()}
    # What the browser did goes back to the model as the results of its calls: an address that was to be typed, and a picture.
    browsing = [body for body in asked(models) if body["model"] == "model-tutorials-browser-use-mdx-block14"]
    assert len(browsing) == 2
    results = [message["content"] for message in browsing[1]["messages"] if message["role"] == "tool"]
    assert "navigated to http://tea.example" in str(results[0])
    assert "image_url" in str(browsing[1]["messages"][-2:])
    (*_, reading) = [body for body in asked(models) if body["model"] == "model-integrations-extensibility-mcp-mdx-block4"]
    assert "structure of facebook/react" in reading["messages"][-1]["content"]


def _told(execution: Any, run: Run) -> Any:
    """How it ended, in the words of the table where that is so."""
    if isinstance(execution, BaseException):
        return execution
    if run.fails and run.fails in str(execution.error):
        return execution.status, run.fails
    if execution.error:
        return execution.status, execution.error
    if run.gives is None or isinstance(run.gives, dict) and not isinstance(execution.output, dict):
        return execution.status, None
    members = {name: value for name, value in execution.output.items() if name in run.gives} if isinstance(run.gives, dict) else None
    return execution.status, execution.output if members is None else members
