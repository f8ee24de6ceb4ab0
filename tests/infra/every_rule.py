"""All rules there are: nothing comes in, the list goes out, filled by whoever imports it."""

from tests.infra import rules, rules_access, rules_watch

RULES = rules.RULES

__all__ = ["RULES", "rules_access", "rules_watch"]
