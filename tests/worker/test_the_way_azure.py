"""HTTP in, mail out: what the embedded host is tested for holds under the Functions host on Azure storage too.

The tests are those of tests/http, here with a gateway that runs as on Azure: function_app.py under Microsoft's worker,
its queues polled by the host for tests. One host for all of them; the account is emptied in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.azurite import Azurite
from tests.conftest import Running
from tests.http import test_native
from tests.http.test_forms import (
    test_a_bot_sees_exactly_what_a_human_sees,
    test_a_browser_is_sent_to_next_or_to_a_thank_you_page,
    test_a_foreign_site_is_refused,
    test_a_script_gets_json_and_the_mail_has_the_fields_in_order,
    test_json_from_fetch_and_files_are_taken,
)
from tests.http.test_looking import TestStatus
from tests.http.test_native import (
    test_a_dry_run_shows_the_mail_and_keeps_nothing,
    test_a_notification_is_accepted_and_captured,
    test_all_failing_fields_are_named_at_once,
    test_every_field_reaches_the_mail,
    test_odd_bytes_become_readable_text,
    test_send_at_waits,
)
from tests.http.test_webhooks import (
    test_a_key_in_the_path_only_where_it_is_allowed,
    test_a_request_without_a_payload_is_405_with_the_reason,
    test_an_alert_is_answered_with_200_and_routed_by_severity,
    test_firing_resolved_and_firing_again_are_three_mails,
    test_no_alert_is_refused_for_its_shape,
    test_put_and_a_query_are_taken_too,
)
from tests.worker import functions
from tests.worker.storage import Storage
from tests.worker.worker import AVAILABLE, NEEDS

__all__ = [
    "TestStatus",
    "test_a_bot_sees_exactly_what_a_human_sees",
    "test_a_browser_is_sent_to_next_or_to_a_thank_you_page",
    "test_a_dry_run_shows_the_mail_and_keeps_nothing",
    "test_a_foreign_site_is_refused",
    "test_a_key_in_the_path_only_where_it_is_allowed",
    "test_a_notification_is_accepted_and_captured",
    "test_a_request_without_a_payload_is_405_with_the_reason",
    "test_a_script_gets_json_and_the_mail_has_the_fields_in_order",
    "test_all_failing_fields_are_named_at_once",
    "test_an_alert_is_answered_with_200_and_routed_by_severity",
    "test_every_field_reaches_the_mail",
    "test_firing_resolved_and_firing_again_are_three_mails",
    "test_json_from_fetch_and_files_are_taken",
    "test_no_alert_is_refused_for_its_shape",
    "test_odd_bytes_become_readable_text",
    "test_put_and_a_query_are_taken_too",
    "test_send_at_waits",
]

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest.fixture(scope="module")
def account(azurite: Azurite) -> str:
    """The storage account of all tests here."""
    return azurite.account()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(account: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The tests' configuration behind the Functions host."""
    folder = tmp_path_factory.mktemp("functions")
    async with functions.running(folder, functions.settings(folder, account)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(host: Running, account: str) -> AsyncIterator[Running]:
    """The same host, on an account as good as new; what the tests of tests/http ask for by this name."""
    yield host
    await functions.emptied(Storage(host.http, account), account)


class TestKeys(test_native.TestIdempotency):
    """The Idempotency-Key, here with the ledger in a table."""

    async def test_many_at_once_make_one_mail(self, gateway: Running) -> None:
        """100 concurrent posts with one key: each is several calls of Azurite, and 1,000 would take too long."""
        headers = {"Idempotency-Key": "storm"}
        replies = await asyncio.gather(*(gateway.send(test_native.BODY, headers=headers) for _ in range(100)))

        assert {202} == {reply.status for reply in replies}
        assert 1 == len({reply.json["id"] for reply in replies})
        assert 1 == len(await gateway.mails())
