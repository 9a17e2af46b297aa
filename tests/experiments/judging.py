"""Findings, as the tests of the experiments compare them."""

from wdjax.stats import Verdict


def verdicts(findings):
    return [finding.verdict for finding in findings]


def by_claim(findings):
    return {finding.claim: finding.verdict for finding in findings}


def not_passed(findings):
    """The claims that do not pass, with their verdicts."""
    return {k: v for k, v in by_claim(findings).items() if v is not Verdict.PASS}


def those(verdict, found):
    """The claims with this verdict."""
    return [claim for claim, one in found.items() if one is verdict]
