"""The service's own console, where a job can be looked up by hand.

The texts of the official SDK name this page. Links to a region or to a job are documented nowhere, so none is guessed:
region and job are chosen in the console.
"""

from __future__ import annotations

CONSOLE_URL = "https://ice.console.aliyun.com/summary"
