"""Until when the certificate of a public address holds."""

from __future__ import annotations

import asyncio
import ssl
import time
from urllib.parse import urlsplit

from trunkline.errors import Unavailable

ANSWER_WITHIN_S = 5.0


async def certificate_expires_s(url: str) -> float | None:
    """Seconds until the certificate ends, 0 for one that is not valid for this host; None for http.

    Raises Unavailable when the address does not answer.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    context = ssl.create_default_context()
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
    except ssl.SSLCertVerificationError:
        return 0.0
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{url} does not answer: {error}") from error
    certificate = writer.get_extra_info("peercert") or {}
    writer.close()
    ends = certificate.get("notAfter")
    return max(0.0, ssl.cert_time_to_seconds(ends) - time.time()) if ends else 0.0
