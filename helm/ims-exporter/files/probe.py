"""Waits until the exporter at a base URL is ready, and reads its metrics; exits with an error if that fails."""  # noqa: INP001 - no module

import ssl
import sys
import time
import urllib.error
import urllib.request

READY_SECONDS = 120
UNAUTHORIZED = 401


def status(url: str) -> tuple[int, str]:
    """Returns status and body of a response; the certificate is not verified, because it may name another host."""
    context = ssl._create_unverified_context() if url.startswith("https:") else None  # noqa: S323, SLF001 - see above
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310 - the exporter's own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        return 0, str(error)


def main(base: str) -> None:
    """Exits with an error message if the exporter is not ready or has no metrics."""
    deadline = time.monotonic() + READY_SECONDS
    while (ready := status(f"{base}/readyz"))[0] != 200:  # noqa: PLR2004 - OK
        if time.monotonic() > deadline:
            sys.exit(f"{base}/readyz: {ready[0]} {ready[1]}")
        time.sleep(1)
    code, text = status(f"{base}/metrics")
    if code != UNAUTHORIZED and "\nims_exporter_build_info{" not in text:
        sys.exit(f"{base}/metrics: {code} {text[:500]}")
    print(f"{base} is ready; /metrics answers {code}")  # noqa: T201 - what `helm test --logs` shows


main(sys.argv[1])
