"""The rules about mail, events, and what watches over it all: see rules.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from gateway.reports import DELIVERY
from tests.infra import expected
from tests.infra.bicep import INFRA, ROOT, Deployment, Json, cloud_of
from tests.infra.rules import differs, has_mail, last, properties, rule

LOGS = {
    "Microsoft.Storage/storageAccounts/blobServices": ["StorageDelete"],
    "Microsoft.KeyVault/vaults": ["AuditEvent"],
    "Microsoft.Communication/communicationServices": ["EmailSendMailOperational"],
    "Microsoft.EventGrid/systemTopics": ["DeliveryFailures"],
}
"""What is written down of each resource; no line of these has an address in it, and none comes every few seconds."""

APP_TABLES = {f"App{name}" for name in ("AvailabilityResults", "Dependencies", "Exceptions", "Metrics")} | {
    f"App{name}" for name in ("PerformanceCounters", "Requests", "Traces")
}
"""Where Application Insights keeps lines, for 90 days unless each is told otherwise."""

CLOUDS = {
    "AzureCloud": r"core\.windows\.net|vault(core)?\.azure\.net|microsoftonline\.com|graph\.microsoft\.com",
    "AzureUSGovernment": r"usgovcloudapi\.net|microsoftonline\.us|graph\.microsoft\.us",
    "AzureChinaCloud": r"chinacloudapi\.cn|azure\.cn",
}


# --------------------------------------------------------------------------------------------------------- mail


@rule
def mail_comes_from_the_domain_asked_for(deployment: Deployment) -> Iterator[str]:
    """Azure's own is linked at once, another one when its records are verified; a gateway for Graph has none."""
    domains = deployment.of("Microsoft.Communication/emailServices/domains")
    services = deployment.of("Microsoft.Communication/communicationServices")
    yield from differs("mail services", int(has_mail(deployment)), len(services))
    yield from differs("mail domains", len(services), len(domains))
    for domain, service in zip(domains, services, strict=False):
        own = re.search(r"emailDomain = '([^']+)'", deployment.parameters)
        yield from differs("domain", own.group(1) if own else "AzureManagedDomain", last(domain))
        yield from properties(
            domain,
            domainManagement="CustomerManaged" if own else "AzureManaged",
            userEngagementTracking="Disabled",
        )
        linked = not own or "emailDomainVerified = true" in deployment.parameters
        yield from properties(service, linkedDomains=[domain["id"]] if linked else [])
        (email,) = deployment.of("Microsoft.Communication/emailServices")
        yield from properties(email, dataLocation=service["properties"]["dataLocation"])


@rule
def senders_have_their_names(deployment: Deployment) -> Iterator[str]:
    """Those that were asked for, once the domain is verified: Azure takes none before."""
    asked = re.findall(r"username: '(\w+)', displayName: '([^']+)'", deployment.parameters)
    waits = "emailDomain = 'notify" in deployment.parameters and "Verified = true" not in deployment.parameters
    wanted = [] if waits else asked
    found = deployment.of("Microsoft.Communication/emailServices/domains/senderUsernames")
    named = [(sender["properties"]["username"], sender["properties"]["displayName"]) for sender in found]
    yield from differs("sender names", wanted, named)
    yield from differs("their ids", [name.lower() for name, _ in wanted], [last(sender) for sender in found])


@rule
def reports_reach_their_queue(deployment: Deployment) -> Iterator[str]:
    """By the topic's own identity, into a queue that a trigger binds, with the events that the code reads."""
    found = deployment.of("Microsoft.EventGrid/systemTopics/eventSubscriptions")
    yield from differs("event subscriptions", int(has_mail(deployment)), len(found))
    for subscription in found:
        yield from properties(
            subscription,
            deliveryWithResourceIdentity__identity__type="SystemAssigned",
            deliveryWithResourceIdentity__destination__endpointType="StorageQueue",
            deliveryWithResourceIdentity__destination__properties__queueName="delivery-reports",
            deliveryWithResourceIdentity__destination__properties__queueMessageTimeToLiveInSeconds=-1,
            filter__includedEventTypes=[DELIVERY],
        )
        topic = deployment.one("Microsoft.EventGrid/systemTopics")
        yield from differs("the topic's identity", "SystemAssigned", topic["identity"]["type"])
        (service,) = deployment.of("Microsoft.Communication/communicationServices")
        if "'communication-{0}'" not in topic["properties"]["source"]:
            yield f"the topic does not listen to {service['name']}"
        if "delivery-reports" not in {binding.queue for binding in expected.bindings()}:
            yield "no trigger reads the reports"


# ----------------------------------------------------------------------------------------------------- watching


@rule
def everything_is_written_down(deployment: Deployment) -> Iterator[str]:
    """Each resource that can tell sends the lines that say who did what; and no figures, which nobody reads there."""
    found: dict[str, list[str]] = {}
    for setting in deployment.of("Microsoft.Insights/diagnosticSettings"):
        of = setting["id"].partition("/providers/Microsoft.Insights/diagnosticSettings/")[0]
        kind, _, rest = of.rpartition("/providers/")[2].partition("/")
        type = "/".join([kind, *rest.split("/")[::2]])
        found[type] = sorted(log["category"] for log in setting["properties"].get("logs", []) if log["enabled"])
        yield from (f"{type} sends figures that nobody reads" for _ in setting["properties"].get("metrics", []))
        if "workspaceId" not in setting["properties"]["workspaceId"]:
            yield f"{type} sends them elsewhere"
    present = {resource["type"] for resource in deployment.resources}
    yield from differs("diagnostics", {type: logs for type, logs in LOGS.items() if type in present}, found)


@rule
def telemetry_has_a_workspace(deployment: Deployment) -> Iterator[str]:
    """Of its own, with the days that were asked for in each table, and an end to what a day may cost."""
    number = dict(re.findall(r"(\w+) = (\d+)$", deployment.parameters, re.MULTILINE))
    days, cap = int(number.get("logRetentionDays", 30)), int(number.get("logDailyCapGb", 5)) or -1
    workspace = deployment.one("Microsoft.OperationalInsights/workspaces")
    yield from properties(workspace, retentionInDays=days, workspaceCapping__dailyQuotaGb=cap)
    yield from properties(workspace, features__immediatePurgeDataOn30Days=days == 30)
    tables = deployment.of("Microsoft.OperationalInsights/workspaces/tables")
    yield from differs("tables with days of their own", APP_TABLES, {last(table) for table in tables})
    for table in tables:
        yield from properties(table, retentionInDays=days, totalRetentionInDays=days)
    yield from properties(deployment.one("Microsoft.Insights/components"), WorkspaceResourceId=workspace["id"])


@rule
def alerts_ask_the_files(deployment: Deployment) -> Iterator[str]:
    """One for each of these queries, switched on, with somebody to tell; silence only where it was asked for."""
    number = dict(re.findall(r"(\w+) = (\d+)$", deployment.parameters, re.MULTILINE))
    silence = int(number.get("alertSilenceHours", 0))
    oldest = 60 * int(number.get("alertOldestMinutes", 15))
    wanted = {
        "bounds": ("Count", None, "GreaterThan", 0, "PT15M"),
        "dead-letters": ("Count", None, "GreaterThan", 0, "PT1H"),
        "faults": ("Count", None, "GreaterThan", 0, "PT15M"),
        "oldest-due": ("Maximum", "seconds", "GreaterThan", oldest, "PT15M"),
        "provider-refusals": ("Count", None, "GreaterThan", 5, "PT15M"),
        "suppressions": ("Count", None, "GreaterThan", 0, "PT1H"),
        "timer-stopped": ("Total", "runs", "LessThan", 1, "PT10M"),
        "unauthorized": ("Total", "attempts", "GreaterThan", 100, "PT15M"),
    }
    if silence:
        window = f"PT{silence}H" if silence < 24 else f"P{silence // 24}D"
        wanted["silence"] = ("Total", "accepted", "LessThan", 1, window)
    alerts = deployment.of("Microsoft.Insights/scheduledQueryRules")
    yield from differs("alerts", dict(sorted(wanted.items())), dict(sorted(map(_comparison, alerts))))
    group = deployment.one("Microsoft.Insights/actionGroups")
    receivers = [person["emailAddress"] for person in group["properties"]["emailReceivers"]]
    yield from differs("who is told", ["ops@contoso.com"], receivers)
    component = deployment.one("Microsoft.Insights/components")["id"]
    for alert in alerts:
        yield from properties(alert, enabled=True, scopes=[component], actions__actionGroups=[group["id"]])
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        text = (INFRA / f"queries/{alert['name'].removeprefix('gateway-')}.kql").read_text("utf-8")
        yield from differs(f"{alert['name']}'s query", text, criterion["query"])


@rule
def storage_may_not_grow_unseen(deployment: Deployment) -> Iterator[str]:
    """The account's own figure is compared, and the same people are told; not where nobody asked for it."""
    number = dict(re.findall(r"(\w+) = (\d+)$", deployment.parameters, re.MULTILINE))
    most = int(number.get("alertStorageGigabytes", 8))
    account = deployment.one("Microsoft.Storage/storageAccounts")["id"]
    group = deployment.one("Microsoft.Insights/actionGroups")["id"]
    alerts = [alert for alert in deployment.of("Microsoft.Insights/metricAlerts") if alert["name"] == "gateway-storage"]
    yield from differs("alerts on storage", 1 if most else 0, len(alerts))
    for alert in alerts:
        yield from properties(alert, enabled=True, scopes=[account], actions=[{"actionGroupId": group}])
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        told = tuple(criterion[name] for name in ("metricName", "timeAggregation", "operator", "threshold"))
        yield from differs("what is compared", ("UsedCapacity", "Average", "GreaterThan", most * 1024**3), told)


@rule
def a_dead_letter_is_not_taken_back(deployment: Deployment) -> Iterator[str]:
    """It lies there when the window is empty again; and none falls between two windows while nothing is told."""
    for alert in deployment.of("Microsoft.Insights/scheduledQueryRules"):
        pause = alert["properties"].get("muteActionsDuration")
        stays = alert["name"] == "gateway-dead-letters"
        yield from properties(alert, autoMitigate=not stays, muteActionsDuration="PT45M" if stays else None)
        if pause and _minutes(alert["properties"]["windowSize"]) < _minutes(pause) + 15:
            yield f"{alert['name']}: what happens within the pause of {pause} is never told"


def _minutes(duration: str) -> int:
    number = int(duration.strip("PTHM"))
    return number * 60 if duration.endswith("H") else number


@rule
def the_first_mail_is_no_false_alarm(deployment: Deployment) -> Iterator[str]:
    """Between the alert's beginning and the first deployment of the app there is no line of a timer."""
    for alert in deployment.of("Microsoft.Insights/scheduledQueryRules"):
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        looks = 3 if alert["name"] == "gateway-timer-stopped" else 1
        wanted = {"numberOfEvaluationPeriods": looks, "minFailingPeriodsToAlert": looks}
        yield from differs(f"{alert['name']}'s looks", wanted, criterion["failingPeriods"])


@rule
def somebody_outside_asks_the_door(deployment: Deployment) -> Iterator[str]:
    """From three places of the same cloud, unless nobody should; and the same people are told as of all else."""
    wanted = "availabilityTest = false" not in deployment.parameters
    tests = deployment.of("Microsoft.Insights/webtests")
    alerts = [alert for alert in deployment.of("Microsoft.Insights/metricAlerts") if alert["name"] == "gateway-door"]
    yield from differs("tests of the door", (int(wanted), int(wanted)), (len(tests), len(alerts)))
    prefix = {"AzureCloud": ("emea-", "us-", "apac-"), "AzureUSGovernment": ("usgov-",), "AzureChinaCloud": ("mc-",)}
    for test, alert in zip(tests, alerts, strict=True):
        yield from properties(test, Enabled=True, Frequency=300, RetryEnabled=True, Request__HttpVerb="GET")
        yield from properties(test, ValidationRules__ExpectedHttpStatusCode=200, ValidationRules__SSLCheck=True)
        url = test["properties"]["Request"]["RequestUrl"]
        if not re.search(r"^\[format\('\{0\}/health/ready', .*'function-\{0\}'.*\.outputs\.uri\.value\)\]$", url):
            yield f"it asks {url}"
        places = {place["Id"] for place in test["properties"]["Locations"]}
        here = prefix[cloud_of(deployment.name)]
        yield from differs("places of this cloud", 3, len([place for place in places if place.startswith(here)]))
        component = deployment.one("Microsoft.Insights/components")["id"]
        criteria = {"webTestId": test["id"], "componentId": component, "failedLocationCount": 2}
        yield from differs("what is compared", criteria, {k: alert["properties"]["criteria"].get(k) for k in criteria})
        yield from properties(alert, enabled=True, severity=1, scopes=[test["id"], component])
        yield from differs("the link", "Resource", test["tags"].get(f"hidden-link:{component}"))
        (action,) = alert["properties"]["actions"]
        yield from differs("who is told", ["'alerts-{0}'"], re.findall(r"'alerts-\{0\}'", action["actionGroupId"]))


@rule
def lost_delivery_reports_are_told(deployment: Deployment) -> Iterator[str]:
    """Event Grid drops what it could not deliver for a day, and only its own figures say so."""
    group = deployment.one("Microsoft.Insights/actionGroups")["id"]
    topics = [topic["id"] for topic in deployment.of("Microsoft.EventGrid/systemTopics")]
    found = {}
    for alert in deployment.of("Microsoft.Insights/metricAlerts"):
        if alert["name"].startswith("gateway-reports-"):
            (criterion,) = alert["properties"]["criteria"]["allOf"]
            compared = tuple(criterion[name] for name in ("timeAggregation", "operator", "threshold"))
            found[criterion["metricName"]] = compared
            yield from properties(alert, enabled=True, scopes=topics, actions=[{"actionGroupId": group}])
    wanted = {
        "DroppedEventCount": ("Total", "GreaterThan", 0),
        "DeliveryAttemptFailCount": ("Total", "GreaterThan", 10),
    }
    yield from differs("alerts on reports", wanted if has_mail(deployment) else {}, found)


@rule
def costs_are_told_where_a_budget_was_given(deployment: Deployment) -> Iterator[str]:
    """When they nearly reach it, and when they are foreseen to go beyond it."""
    asked = re.search(r"monthlyBudget = (\d+)", deployment.parameters)
    budgets = deployment.of("Microsoft.Consumption/budgets")
    yield from differs("budgets", int(bool(asked)), len(budgets))
    for budget in budgets:
        amount = int(asked[1]) if asked else 0
        yield from properties(budget, amount=amount, category="Cost", timeGrain="Monthly")
        yield from properties(budget, timePeriod__startDate="2026-12-01")
        told = budget["properties"]["notifications"].values()
        yield from differs("when", {("Actual", 80), ("Forecasted", 100)}, {_threshold(one) for one in told})
        groups = [group for one in told for group in one["contactGroups"]]
        yield from differs("who is told", [True, True], ["'alerts-{0}'" in group for group in groups])


def _threshold(notification: Json) -> tuple[str, int]:
    return notification["thresholdType"], notification["threshold"]


def _comparison(alert: Json) -> tuple[str, tuple[Any, ...]]:
    (criterion,) = alert["properties"]["criteria"]["allOf"]
    facts = tuple(criterion.get(name) for name in ("timeAggregation", "metricMeasureColumn", "operator", "threshold"))
    return alert["name"].removeprefix("gateway-"), (*facts, alert["properties"]["windowSize"])


@rule
def every_query_is_used(deployment: Deployment) -> Iterator[str]:
    """By an alert or in the workbook, whose page can be read."""
    book = deployment.one("Microsoft.Insights/workbooks")["properties"]
    yield from differs("the workbook's source", deployment.one("Microsoft.Insights/components")["id"], book["sourceId"])
    shown = {item["content"].get("query") for item in json.loads(book["serializedData"])["items"]}
    asked = {
        criterion["query"]
        for alert in deployment.of("Microsoft.Insights/scheduledQueryRules")
        for criterion in alert["properties"]["criteria"]["allOf"]
    }
    for file in sorted((INFRA / "queries").glob("*.kql")):
        optional = file.stem == "silence" and "alertSilenceHours" not in deployment.parameters
        if file.read_text("utf-8") not in shown | asked and not optional:
            yield f"{file.name} is asked by nobody"


# ------------------------------------------------------------------------------------------------ all resources


@rule
def names_are_allowed(deployment: Deployment) -> Iterator[str]:
    """By Azure's rules for each type."""
    for resource in deployment.resources:
        if (allowed := expected.NAMES.get(resource["type"])) and not re.fullmatch(allowed, resource["name"]):
            yield f"{resource['type']} may not be called {resource['name']}"


@rule
def azd_finds_its_resources(deployment: Deployment) -> Iterator[str]:
    """By two tags."""
    for resource in deployment.resources:
        if "tags" in resource or resource["type"] in expected.NAMES:
            tag = resource.get("tags", {}).get("azd-env-name")
            yield from differs(f"{resource['name']}'s tag azd-env-name", "prod", tag)
    (site,) = deployment.of("Microsoft.Web/sites")
    services = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["services"]
    yield from differs("the service", list(services), [site["tags"].get("azd-service-name")])


@rule
def each_cloud_has_its_own_addresses(deployment: Deployment) -> Iterator[str]:
    """No other cloud's stands anywhere."""
    here = cloud_of(deployment.name)
    for cloud, pattern in CLOUDS.items():
        found = sorted(set(re.findall(rf"[-\w.]*(?:{pattern})", deployment.text))) if cloud != here else []
        yield from (f"{here} has an address of {cloud}" for _ in re.finditer(pattern, deployment.text) if found)
    if not re.search(CLOUDS[here], deployment.text):
        yield f"no address of {here}"


@rule
def outputs_hold_no_secret(deployment: Deployment) -> Iterator[str]:
    """What azd keeps in a file, and Azure in the deployment's history."""
    for name, value in deployment.outputs.items():
        if re.search(
            r"(?i)listkeys|connectionstring|instrumentation|sharedkey|password|secret|accountkey", f"{name}={value}"
        ):
            yield f"the output {name} may be a secret"
    if re.search(r"(?i)listkeys\(|listaccountsas\(", deployment.text):
        yield "a key is read somewhere"
