"""Stage of a turn between its draft and its templates: files that the new messages name are looked at, before anything else costs time."""

from dataclasses import replace
from uuid import UUID

from mentha.chat.prompt import Drafted
from mentha.tools.attachments import Attachments


async def attach(attachments: Attachments, tenant: UUID, drafted: Drafted) -> Drafted:
    """The same draft, whose messages say how much the files that they name count.

    Raises:
        FileInvalid: a file is not there, or can't be used.
        Unavailable: files can't be read now.
    """
    noted = await attachments.noted(tenant, [draft.message for draft in drafted.messages])
    return replace(drafted, messages=[replace(draft, message=message) for draft, message in zip(drafted.messages, noted, strict=True)])
