"""Tools of type `integration`: which providers there are, what each is set up with, and what its methods take.

One table, `PROVIDERS`, for everything that has to know them: the check of a tool, what is offered to a model, and the code that runs them.
That is why this file is long: a provider is to be seen in one place, beside those that it resembles.

Source: the contract's `Tools.…Setup` and `Tools.…Arguments`, and section 5.5 of the tasks' spec; MCP's `stdio` is ours (ruling 16).
"""

from typing import Annotated, Any, Literal, LiteralString, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mentha.core.json import JsonObject
from mentha.wire.common import Wire
from mentha.wire.schemas import Schema, choice, either, faults, flag, integer, known, many, mapping, shape, text

UINT16_MAX = 65_535


class Method(NamedTuple):
    """What a provider can do: in words for a model, and what it takes."""

    text: str
    arguments: Schema


class Provider(NamedTuple):
    """A provider: the schema of its setup, and its methods by name, the default one first."""

    setup: Schema
    methods: dict[str, Method]


_ANYTHING = mapping("Any arguments")
_FILE = either("The file in base64, or several", text("A file"), many(text("A file"), "Files"))
_ID = text("The id of the session")
_MAIL = {
    "to": text("The address to send to"),
    "from": text("The address to send from"),
    "subject": text("The subject"),
    "body": text("The text, plain or HTML"),
}
_SPIDER = shape(
    ("url",),
    url=text("The URL to fetch"),
    content_type=choice(
        "The type to answer with", "application/json", "text/csv", "application/xml", "application/jsonl", default="application/json"
    ),
    params=mapping("More parameters of Spider's API"),
)
_SHEET = text("The id of the spreadsheet")
_RANGE = text("The range in A1 notation, like Sheet1!A1:C10")
_CELLS = many(many({}, "A row"), "Rows of cells")
_DIMENSION = choice("What an inner list is", "ROWS", "COLUMNS", default="ROWS")
_INPUT = choice("How input is read", "RAW", "USER_ENTERED", default="USER_ENTERED")
_ECHO = flag("Whether to answer with the new values", default=False)
_READING = {
    "major_dimension": _DIMENSION,
    "value_render_option": choice("How values are shown", "FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA", default="FORMATTED_VALUE"),
    "date_time_render_option": choice("How times are shown", "SERIAL_NUMBER", "FORMATTED_STRING", default="FORMATTED_STRING"),
}


def _insert(default: str) -> Schema:
    return choice("Whether to overwrite or to insert rows", "OVERWRITE", "INSERT_ROWS", default=default)


def _writing(default: str) -> Schema:
    return shape(
        ("spreadsheet_id", "range", "values"),
        spreadsheet_id=_SHEET,
        range=_RANGE,
        values=_CELLS,
        value_input_option=_INPUT,
        insert_data_option=_insert(default),
        include_values_in_response=_ECHO,
    )


PROVIDERS: dict[str, Provider] = {
    "dummy": Provider(_ANYTHING, {"echo": Method("Give the arguments back", _ANYTHING)}),
    "wikipedia": Provider(
        shape(),
        {
            "search": Method(
                "Search Wikipedia",
                shape(
                    ("query",),
                    query=text("What to search for"),
                    load_max_docs=integer("Articles to give at most", minimum=1, maximum=10, default=2),
                ),
            )
        },
    ),
    "weather": Provider(
        shape(("openweathermap_api_key",), openweathermap_api_key=text("Key of OpenWeatherMap")),
        {"get": Method("Tell the weather of a place now", shape(("location",), location=text("A place, like Oslo or Paris, FR")))},
    ),
    "brave": Provider(
        shape(("brave_api_key",), brave_api_key=text("Key of Brave Search")),
        {
            "search": Method(
                "Search the web",
                shape(
                    ("query",),
                    query=text("What to search for"),
                    # Ours: the original gives three, always.
                    count=integer("Results to give at most", minimum=1, maximum=20, default=10),
                ),
            )
        },
    ),
    "spider": Provider(
        shape(("spider_api_key",), spider_api_key=text("Key of Spider")),
        {
            "crawl": Method("Read a web site, page by page", _SPIDER),
            "links": Method("List the links of a web page", _SPIDER),
            "screenshot": Method("Take a picture of a web page", _SPIDER),
            "search": Method("Search the web and read what is found", _SPIDER),
        },
    ),
    "arxiv": Provider(
        shape(),
        {
            "search": Method(
                "Search papers on arXiv",
                shape(
                    ("query",),
                    query=text("What to search for"),
                    id_list=many(text("An id"), "Only papers with these ids"),
                    max_results=integer("Papers to give at most", minimum=1, maximum=300_000, default=5),
                    download_pdf=flag("Whether to fetch the PDFs", default=False),
                    sort_by=choice("What to sort by", "relevance", "lastUpdatedDate", "submittedDate", default="relevance"),
                    sort_order=choice("In which order", "ascending", "descending", default="descending"),
                ),
            )
        },
    ),
    "email": Provider(
        shape(
            ("host", "port", "user", "password"),
            host=text("The mail server"),
            port=integer("Its port"),
            user=text("User of the mail server"),
            password=text("Password of the user"),
        ),
        {"send": Method("Send an email", shape(("to", "from", "subject", "body"), **_MAIL))},
    ),
    "mailgun": Provider(
        shape(
            ("api_key",),
            api_key=text("Key of Mailgun"),
            # Ours: the original sends from `email.` and the sender's domain, always.
            domain=text("The domain to send through; the sender's by default"),
            region=choice("Where the account is", "us", "eu", default="us"),
        ),
        {
            "send_email": Method(
                "Send an email",
                shape(
                    ("to", "from", "subject", "body"),
                    **_MAIL,
                    cc=text("Addresses that get a copy, separated by commas"),
                    bcc=text("Addresses that get a copy unseen, separated by commas"),
                ),
            )
        },
    ),
    "llama_parse": Provider(
        shape(("llamaparse_api_key",), llamaparse_api_key=text("Key of LlamaParse"), params=mapping("More parameters of every call")),
        {
            "parse": Method(
                "Read the text of documents",
                shape(
                    ("file",),
                    file=_FILE,
                    filename=text("The name of the file"),
                    params=mapping("More parameters of this call"),
                    base64=flag("Whether the file is in base64, and not a path or a URL", default=False),
                ),
            )
        },
    ),
    "unstructured": Provider(
        shape(
            ("unstructured_api_key",),
            unstructured_api_key=text("Key of Unstructured"),
            server_url=text("The address of the server"),
            server=text("The server, by name"),
            url_params=mapping("What is put into the server's address"),
            retry_config=mapping("When to try again"),
            timeout_ms=integer("Time limit of a call, in milliseconds"),
        ),
        {
            "parse": Method(
                "Split a document into its parts",
                shape(
                    ("file",),
                    file=text("The file in base64"),
                    filename=text("The name of the file"),
                    partition_params=mapping("How to split it"),
                ),
            )
        },
    ),
    "ffmpeg": Provider(
        shape(),
        {
            "bash_cmd": Method(
                "Change sound, pictures or films with ffmpeg",
                shape(("cmd",), cmd=text("The ffmpeg command"), file=_FILE),
            )
        },
    ),
    "cloudinary": Provider(
        shape(
            ("cloudinary_api_key", "cloudinary_api_secret", "cloudinary_cloud_name"),
            cloudinary_api_key=text("Key of Cloudinary"),
            cloudinary_api_secret=text("Secret of the key"),
            cloudinary_cloud_name=text("Name of the cloud"),
            params=mapping("More parameters of every call"),
        ),
        {
            "media_upload": Method(
                "Upload a picture or a film",
                shape(
                    ("file",),
                    file=text("The URL of the file"),
                    return_base64=flag("Whether to answer with the file too, in base64", default=False),
                    public_id=text("The id to give it"),
                    upload_params=mapping("More parameters of the upload"),
                ),
            ),
            "media_edit": Method(
                "Make a changed version of an uploaded picture or film",
                shape(
                    ("public_id", "transformation"),
                    public_id=text("The id of the file"),
                    transformation=many(mapping("A step"), "What to do with it, step by step"),
                    return_base64=flag("Whether to answer with the file too, in base64", default=False),
                ),
            ),
        },
    ),
    "algolia": Provider(
        shape(
            ("algolia_application_id", "algolia_api_key"),
            algolia_application_id=text("Id of the application"),
            algolia_api_key=text("Key of Algolia"),
        ),
        {
            "search": Method(
                "Search an index",
                shape(
                    ("index_name", "query"),
                    index_name=text("The index"),
                    query=text("What to search for"),
                    attributes_to_retrieve=many(text("An attribute"), "Only these attributes"),
                    hits_per_page=integer("Hits to give at most", minimum=1, maximum=1000, default=10),
                ),
            )
        },
    ),
    "browserbase": Provider(
        # Its own examples set it up without a key, where the server has one.
        shape(
            ("project_id",),
            api_key=text("Key of Browserbase"),
            project_id=text("Id of the project"),
            api_url=text("Address of the API"),
            connect_url=text("Address to connect to"),
        ),
        {
            "list_sessions": Method(
                "List the sessions of remote browsers",
                shape(status=choice("Only those in this state", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED")),
            ),
            "create_session": Method(
                "Start a remote browser",
                shape(
                    projectId=text("Id of the project"),
                    extensionId=text("Id of an installed extension"),
                    browserSettings=mapping("Settings of the browser", default={}),
                    timeout=integer("Seconds after which it ends", minimum=0, maximum=UINT16_MAX, default=3600),
                    keepAlive=flag("Whether it outlives a lost connection", default=False),
                    proxies=either(
                        "Proxies", flag("Whether to use the default ones"), many(mapping("A proxy"), "Which ones"), default=False
                    ),
                ),
            ),
            "get_session": Method("Look at the session of a remote browser", shape(("id",), id=_ID)),
            "complete_session": Method(
                "End a remote browser",
                shape(("id",), id=_ID, status=choice("What to ask for", "REQUEST_RELEASE", default="REQUEST_RELEASE")),
            ),
            "get_live_urls": Method("Get addresses at which a remote browser can be watched", shape(("id",), id=_ID)),
            "get_connect_url": Method("Get the address that a remote browser is steered at", shape(("id",), id=_ID)),
            "install_extension_from_github": Method(
                "Install an extension for remote browsers",
                shape(("repositoryName",), repositoryName=text("The repository, like owner/name"), ref=text("A branch or a tag")),
            ),
            "create_context": Method("Make a context that remote browsers can share", shape(projectId=text("Id of the project"))),
            "get_session_downloads": Method("Get what a remote browser downloaded", shape(("id",), id=_ID)),
            "get_logs": Method("Get the log of a remote browser", shape(("id",), id=_ID)),
            "get_recordings": Method("Get the recording of a remote browser", shape(("id",), id=_ID)),
        },
    ),
    "remote_browser": Provider(
        shape(
            connect_url=text("Address of the browser"),
            width=integer("Width of the window, in pixels", minimum=0, maximum=UINT16_MAX),
            height=integer("Height of the window, in pixels", minimum=0, maximum=UINT16_MAX),
        ),
        {
            "perform_action": Method(
                "Do something in a remote browser",
                shape(
                    ("action",),
                    action=choice(
                        "What to do",
                        "key",
                        "type",
                        "mouse_move",
                        "left_click",
                        "left_click_drag",
                        "right_click",
                        "middle_click",
                        "double_click",
                        "screenshot",
                        "cursor_position",
                        "navigate",
                        "refresh",
                    ),
                    text=text("What to type, which keys to press, or where to go"),
                    coordinate=many({}, "Where: x and y in pixels"),
                    connect_url=text("Address of the browser"),
                ),
            )
        },
    ),
    "mcp": Provider(
        shape(
            ("transport",),
            transport=choice("How to connect", "sse", "http", "stdio"),
            command=text("The command that is the server (stdio)"),
            args=many(text("An argument"), "Its arguments (stdio)"),
            cwd=text("The folder that it runs in (stdio)"),
            env=mapping("Its environment (stdio)", additionalProperties={"type": "string"}),
            http_url=text("Address of the server (sse, http)"),
            http_headers=mapping("Headers of every request (sse, http)", additionalProperties={"type": "string"}),
        ),
        {
            "list_tools": Method("List the tools of an MCP server", shape()),
            "call_tool": Method(
                "Call a tool of an MCP server",
                shape(
                    ("tool_name",),
                    tool_name=text("The name of the tool"),
                    arguments=mapping("What it takes", default={}),
                    timeout_seconds=integer("Time limit of the call, in seconds", minimum=0, maximum=UINT16_MAX, default=60),
                ),
            ),
            # Ours: the original knows tools alone.
            "list_resources": Method("List the resources of an MCP server", shape()),
            "read_resource": Method("Read a resource of an MCP server", shape(("uri",), uri=text("Which one"))),
            "list_prompts": Method("List the prompts of an MCP server", shape()),
            "get_prompt": Method(
                "Get a prompt of an MCP server, filled in",
                shape(
                    ("name",),
                    name=text("The name of the prompt"),
                    arguments=mapping("What it is filled in with", additionalProperties={"type": "string"}, default={}),
                ),
            ),
        },
    ),
    "google_sheets": Provider(
        # Required by the SDK, left out in its own examples: then the account is one's own.
        shape(
            use_julep_service=flag("Whether to use the server's account", default=False),
            service_account_json=text("The service account, in base64"),
            default_retry_count=integer("How often to try a call", minimum=1, maximum=10, default=3),
        ),
        {
            "read_values": Method(
                "Read a range of a spreadsheet",
                shape(("spreadsheet_id", "range"), spreadsheet_id=_SHEET, range=_RANGE, **_READING),
            ),
            "write_values": Method("Write into a range of a spreadsheet", _writing("OVERWRITE")),
            "append_values": Method("Append rows to a spreadsheet", _writing("INSERT_ROWS")),
            "clear_values": Method(
                "Clear a range of a spreadsheet", shape(("spreadsheet_id", "range"), spreadsheet_id=_SHEET, range=_RANGE)
            ),
            "batch_read": Method(
                "Read several ranges of a spreadsheet",
                shape(("spreadsheet_id", "ranges"), spreadsheet_id=_SHEET, ranges=many(_RANGE, "The ranges"), **_READING),
            ),
            "batch_write": Method(
                "Write into several ranges of a spreadsheet",
                shape(
                    ("spreadsheet_id", "data"),
                    spreadsheet_id=_SHEET,
                    data=many(
                        shape(("range", "values"), range=_RANGE, values=_CELLS, major_dimension=_DIMENSION),
                        "What to write into which range",
                    ),
                    value_input_option=_INPUT,
                    include_values_in_response=_ECHO,
                ),
            ),
        },
    ),
}

ProviderName = Literal[
    "dummy",
    "weather",
    "wikipedia",
    "spider",
    "brave",
    "browserbase",
    "email",
    "mailgun",
    "remote_browser",
    "llama_parse",
    "ffmpeg",
    "cloudinary",
    "arxiv",
    "unstructured",
    "algolia",
    "mcp",
    "google_sheets",
]


def method_of(provider: str, method: str | None) -> Method | None:
    """The method with this name, the provider's default one for None; None where there is no such method."""
    methods = PROVIDERS[provider].methods
    return methods.get(method) if method else next(iter(methods.values()))


def provider_name(value: Any) -> Any:
    """A provider's name as the table has it: the original's documentation writes `llama-parse`."""
    return value.replace("-", "_") if isinstance(value, str) else value


class IntegrationDef(Wire):
    """A call of a service that the server knows. `setup` and `arguments` are those of the provider and the method."""

    provider: Annotated[ProviderName, BeforeValidator(provider_name, json_schema_input_type=ProviderName)] = Field(
        description="Which service"
    )
    method: str | None = Field(None, description="What to do; the provider's first method by default")
    setup: dict[str, Any] | None = Field(None, description="Keys and addresses. Secrets are shown as ENCRYPTED")
    arguments: dict[str, Any] | None = Field(None, description="Arguments that every call has; the model gives the others")

    @model_validator(mode="after")
    def _fits_its_provider(self) -> "IntegrationDef":
        method = method_of(self.provider, self.method)
        if method is None:
            names = ", ".join(PROVIDERS[self.provider].methods)
            raise _refused(("method",), "unknown_method", f"'{self.provider}' has the methods {names}")
        self.setup = _fitting(PROVIDERS[self.provider].setup, self.setup, "setup")
        self.arguments = _fitting(method.arguments, self.arguments, "arguments", partial=True)
        return self


def _fitting(schema: Schema, given: JsonObject | None, name: str, *, partial: bool = False) -> JsonObject | None:
    if given is None:
        return None
    fault = next(faults(schema, given, partial=partial, loc=(name,)), None)
    if fault:
        raise _refused(fault.loc, fault.kind, fault.message)
    return known(schema, given)


def _refused(loc: tuple[str | int, ...], kind: LiteralString, message: str) -> ValidationError:
    # pydantic puts the path of the integration before `loc`. Without the input: that may be a secret.
    fault = InitErrorDetails(type=PydanticCustomError(kind, "{message}", {"message": message}), loc=loc, input=None)
    return ValidationError.from_exception_data("IntegrationDef", [fault])
