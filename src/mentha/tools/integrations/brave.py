"""Brave Search: results of the web.

Source: Brave's reference of `/web/search` and its answers. What is wrong with a key stands in the code of an error there, and not in its
status: a wrong one is a 422, one without a plan a 404, one whose plan lacks what was asked for a 400.
"""

import html

from mentha.core.json import JsonInvalid, JsonValue, loads_hostile
from mentha.tools.integrations import answers, service
from mentha.tools.integrations.service import Question, Service
from mentha.tools.outbound import OutboundResponse

BASE_URL = "https://api.search.brave.com/res/v1"
KEY_STATUSES = frozenset({400, 404, 422})
KEY_CODES = frozenset({"SUBSCRIPTION_TOKEN_INVALID", "SUBSCRIPTION_NOT_FOUND", "RESOURCE_NOT_ALLOWED", "OPTION_NOT_IN_PLAN"})


async def search(service: Service) -> JsonValue:
    """`result`: `title`, `link` and `snippet` of each."""
    question = Question(
        url=f"{service.base(BASE_URL)}/web/search",
        # Without decorations: they are HTML around the words that were found.
        query={"q": service.text("query"), "count": service.arguments["count"], "text_decorations": False},
        headers={"accept": "application/json", "x-subscription-token": service.text("brave_api_key")},
        is_key_refused=_refuses_key,
    )
    found = answers.object_of(await service.ask(question), "brave")
    return {
        "result": [
            {
                "title": html.unescape(answers.words(each.get("title"))),
                "link": answers.words(each.get("url")),
                "snippet": html.unescape(answers.words(each.get("description"))),
            }
            for each in answers.objects(answers.member(found, "web").get("results"))
        ]
    }


def _refuses_key(response: OutboundResponse) -> bool:
    if service.refuses_key(response):
        return True
    if response.status not in KEY_STATUSES:
        return False
    try:
        return answers.words(answers.member(loads_hostile(response.body), "error").get("code")) in KEY_CODES
    except JsonInvalid:
        return False


METHODS = {"search": search}
