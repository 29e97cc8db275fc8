"""The command `alerts`: what receivers are owed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from shadoweval.cli.home import found_store
from shadoweval.cli.output import Answer, say
from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.alerts import NotTakenError, WebhookNotifier, trial_alert, webhooks
from shadoweval.evaluation.conditions import Watch
from shadoweval.evaluation.courier import Courier
from shadoweval.experiment import Experiment
from shadoweval.protocols import Alert

__all__ = ["alerts"]

_TELLING: Final = 30.0


def alerts(options: argparse.Namespace) -> int:
    """Send what is due, and list what is still owed. Returns 1 where something is."""
    experiment: Experiment = options.experiment
    notifiers = webhooks(experiment, options.webhook)
    if options.action == "test":
        return _test(experiment.name, notifiers, options.answer)
    with found_store(experiment) as store:
        if options.forget:
            forgotten = store.outbox.forget(experiment.name)
            options.answer.add(experiment=experiment.name, forgotten=forgotten)
            say(f"{experiment.name}: {forgotten} alerts forgotten")
            return 0
        if options.again:
            store.outbox.again(experiment.name)
        Watch(experiment, notifiers).once(store)
        with Courier(experiment, notifiers) as courier:
            courier.settle(seconds=_TELLING)
        untold = store.outbox.untold(experiment.name)
    options.answer.add(experiment=experiment.name, owed=[_shown(alert) for alert in untold])
    known = {notifier.receiver for notifier in notifiers}
    for alert in untold:
        why = alert.error or ("not tried yet" if alert.receiver in known else "its address is not in these settings")
        then = "given up" if alert.state == "undelivered" else f"next try {alert.due:%Y-%m-%d %H:%M:%S} UTC"
        tries = f"{alert.attempts} tries since {alert.at:%Y-%m-%d %H:%M:%S} UTC"
        say(f"{alert.candidate}: {alert.decision} to {alert.receiver}, {tries}: {why}; {then}")
    say(f"{experiment.name}: {len(untold) or 'no'} alerts are owed")
    return 1 if untold else 0


def _shown(alert: Alert) -> dict[str, Any]:
    """All but what it is called and says, which may quote."""
    fields = ("candidate", "decision", "previous", "receiver", "at", "state", "attempts", "due", "error")
    return {name: getattr(alert, name) for name in fields}


def _test(experiment: str, notifiers: Sequence[WebhookNotifier], answer: Answer) -> int:
    """Send each receiver an alert about nothing. Returns 1 where one did not take it."""
    if not notifiers:
        raise ShadowEvalError(
            "There is no receiver. Name one by --webhook, the setting `webhook` or SHADOWEVAL_WEBHOOK."
        )
    refused: dict[str, str] = {}
    for notifier in notifiers:
        try:
            notifier.notify(trial_alert(experiment, notifier.receiver))
        except NotTakenError as error:
            refused[notifier.receiver] = str(error)
            say(f"{notifier.receiver}: NOT TAKEN, {error}")
        else:
            say(f"{notifier.receiver}: taken, {'signed' if notifier.signed else 'not signed'}")
    receivers = [{"receiver": each.receiver, "error": refused.get(each.receiver)} for each in notifiers]
    answer.add(experiment=experiment, receivers=receivers)
    return 1 if refused else 0
