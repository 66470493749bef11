"""The official `openai` SDK as a client of ours."""

from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI

from tests.support.talk import DEADLINE_S


def client_of(url: str, key: str, **options: Any) -> AsyncOpenAI:
    """The official client; it checks every answer against its own types, and sends nothing twice unless `max_retries` says so."""
    http_client = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False, timeout=DEADLINE_S)
    options = {"max_retries": 0, "_strict_response_validation": True, **options}
    return AsyncOpenAI(api_key=key, base_url=f"{url}/v1", http_client=http_client, **options)


def blocking_client_of(url: str, key: str) -> OpenAI:
    """The same as a client that blocks, by the other way to the API."""
    http_client = openai.DefaultHttpxClient(verify=False, trust_env=False, timeout=DEADLINE_S)
    return OpenAI(api_key=key, base_url=f"{url}/api", http_client=http_client, max_retries=0, _strict_response_validation=True)
