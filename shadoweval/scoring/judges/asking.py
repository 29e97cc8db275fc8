"""Asks a judge many questions at once: what is kept first, then the endpoint, at its pace and within its budget."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from shadoweval.errors import MissingExtraError
from shadoweval.records import NOT_DRAWN, Unscored
from shadoweval.scoring.judges.budget import JudgeBudget, drawn, period_of
from shadoweval.scoring.judges.endpoints import Answer, Endpoint, NoEndpointError
from shadoweval.scoring.judges.kept import Kept
from shadoweval.scoring.judges.pace import Pace, retry_after
from shadoweval.scoring.judges.questions import Question, Reply, Spent, key_of
from shadoweval.scoring.judges.replies import read_reply, without_reason
from shadoweval.scoring.judges.sitting import Sitting
from shadoweval.scoring.pair_scorer import raised

__all__ = ["Asked", "Asking"]

_BUSY: Final = frozenset({408, 409, 425, 429})
_SERVER: Final = 500
_LONGEST_DELAY: Final = 20.0
_A_TOKEN: Final = 4
"""Characters of a token, about; for endpoints that do not count, and before they are asked."""
_NOT_DRAWN: Final = Unscored(NOT_DRAWN, informative=False)
_NOTHING_LEFT: Final = Unscored("the judge's budget is spent", informative=False)
_DRY: Final = Unscored("nobody was asked: a dry run", informative=False)

Said = Reply | Unscored


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What a judge is, as far as asking goes."""

    asked_of: Mapping[str, Any]
    """As of `key_of`."""
    name: str
    """Under which its spending is counted."""
    open: Callable[[], Endpoint]
    pace: Pace
    concurrency: int
    deadline: float
    repeats: int
    longest: int
    """Tokens of a reply, at most."""
    budget: JudgeBudget | None
    price: tuple[float, float] | None
    now: Callable[[], datetime]


class _Record(msgspec.Struct, frozen=True):
    """A reply as it is kept."""

    content: dict[str, Any]
    chance: float = 1.0


def _estimated(question: Question) -> int:
    """Tokens of a question, about: its characters / 4."""
    return sum(len(each.content) for each in question.messages) // _A_TOKEN + 1


class Asking:
    """One time that a judge is asked many questions.

    Args:
        judge: Whom.
        sitting: On whose loop.
        kept: What was said before.
    """

    def __init__(self, judge: Asked, sitting: Sitting, kept: Kept) -> None:
        self._judge, self._sitting, self._kept = judge, sitting, kept
        self._away: Unscored | None = None
        """Why the endpoint answers nobody; the others are not asked then."""

    async def all(self, questions: Sequence[Question]) -> list[tuple[Said, float]]:
        """What it says to each, and the chance with which its query was drawn."""
        keys = [
            [key_of(self._judge.asked_of, question, index=index) for index in range(self._judge.repeats)]
            for question in questions
        ]
        known = await asyncio.to_thread(self._kept.replies, [key for of in keys for key in of])
        said: list[tuple[Said, float] | None] = [None] * len(questions)
        groups: dict[str, list[int]] = {}
        for place, question in enumerate(questions):
            groups.setdefault(question.query_id, []).append(place)
        waiting = iter(groups.values())

        async def work() -> None:
            for places in waiting:
                chance, why = await self._chance(questions[places[0]].query_id, [keys[at] for at in places], known)
                asked = (self._one(questions[at], keys[at], known=known, chance=why or chance) for at in places)
                for at, each in zip(places, await asyncio.gather(*asked), strict=True):
                    said[at] = each, each.chance if isinstance(each, Reply) else chance

        await asyncio.gather(*(work() for _ in range(min(self._judge.concurrency, len(groups)))))
        answered = [each for each in said if each is not None]
        self._sitting.count(self._judge.name, [each for each, _ in answered])
        return answered

    async def _chance(
        self, query_id: str, keys: Sequence[Sequence[str]], known: Mapping[str, bytes]
    ) -> tuple[float, Unscored | None]:
        """With which chance this query is drawn, and why it is not judged."""
        budget = self._judge.budget
        if all(key in known for of in keys for key in of):
            return 1.0, None
        if self._sitting.dry:
            return 1.0, _DRY
        if budget is None:
            return 1.0, None
        left = budget.chance(await self._spend(Spent()))
        chance = left or budget.least_chance  # who would still be drawn is missing, and counted as such
        if not drawn(query_id, chance):
            return chance, _NOT_DRAWN
        return chance, None if left else _NOTHING_LEFT

    async def _spend(self, spent: Spent) -> Spent:
        budget, now = self._judge.budget, self._judge.now()
        period = period_of("day", now) if budget is None else budget.period(now)
        return await asyncio.to_thread(self._kept.spend, self._judge.name, period, spent)

    async def _one(
        self, question: Question, keys: Sequence[str], *, known: Mapping[str, bytes], chance: float | Unscored
    ) -> Said:
        """All repeats of a question, as one reply."""
        if self._sitting.dry:
            new = {key for key in keys if key not in known} - self._sitting.counted
            self._sitting.counted |= new
            self._want(question, len(new))
        repeats = [
            self._repeat(question, index, key=key, known=known.get(key), chance=chance)
            for index, key in enumerate(keys)
        ]
        return _agreed(await asyncio.gather(*repeats))

    def _want(self, question: Question, calls: int) -> None:
        spent = Spent(calls=calls, input_tokens=calls * _estimated(question), output_tokens=calls * self._judge.longest)
        priced = msgspec.structs.replace(spent, usd=self._dollars(spent))
        self._sitting.wanted[self._judge.name] = self._sitting.wanted.get(self._judge.name, Spent()) + priced

    async def _repeat(
        self, question: Question, index: int, *, key: str, known: bytes | None, chance: float | Unscored
    ) -> Said:
        if known is not None:
            record = msgspec.json.decode(known, type=_Record)
            return Reply(content=record.content, usage=Spent(), cached=True, chance=record.chance)
        if isinstance(chance, Unscored):
            return chance
        task = self._sitting.pending.get(key)
        if task is None:
            task = asyncio.create_task(self._new(question, index, key=key, chance=chance))
            self._sitting.pending[key] = task
            task.add_done_callback(lambda _: self._sitting.pending.pop(key, None))
        return await asyncio.shield(task)

    async def _new(self, question: Question, index: int, *, key: str, chance: float) -> Said:
        answer = await self._answer(question, index)
        if isinstance(answer, Unscored):
            return answer
        spent = self._spent(question, answer)
        await self._spend(spent)
        content = read_reply(answer.text, question.schema, stopped=answer.stopped)
        if isinstance(content, Unscored):
            return content
        record = msgspec.json.encode(_Record(content, chance))
        await asyncio.to_thread(self._kept.keep, key, record, query_id=question.query_id)
        return Reply(content=content, usage=spent, cached=False, chance=chance)

    def _spent(self, question: Question, answer: Answer) -> Spent:
        tokens_in, tokens_out = answer.input_tokens, answer.output_tokens
        spent = Spent(
            calls=1,
            input_tokens=_estimated(question) if tokens_in is None else tokens_in,
            output_tokens=len(answer.text) // _A_TOKEN + 1 if tokens_out is None else tokens_out,
        )
        return msgspec.structs.replace(spent, usd=self._dollars(spent))

    def _dollars(self, spent: Spent) -> float:
        price = self._judge.price or (0.0, 0.0)
        return (spent.input_tokens * price[0] + spent.output_tokens * price[1]) / 1e6

    async def _answer(self, question: Question, index: int) -> Answer | Unscored:
        """What the endpoint gives back, asked again while it is busy and there is time."""
        last = ""
        try:
            async with asyncio.timeout(self._judge.deadline):
                for delay in _delays():
                    if self._away is not None:
                        return self._away
                    outcome = await self._try(question, index)
                    if not isinstance(outcome, _Busy):
                        return outcome
                    last = f" (at last: {outcome.why})"
                    await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - no secret
        except TimeoutError:
            pass
        why = f"TimeoutError: the judge did not answer within {self._judge.deadline:g} s{last}"
        return Unscored(why, informative=False)

    async def _try(self, question: Question, index: int) -> Answer | Unscored | _Busy:
        await self._judge.pace.turn()
        try:
            answer = await self._endpoint().ask(question, index=index)
        except asyncio.CancelledError:
            self._judge.pace.done(busy=True)  # its deadline has passed
            raise
        except MissingExtraError:
            self._judge.pace.done()
            raise
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the pair is unscored with the reason
            return self._failed(error)
        self._judge.pace.done()
        return answer

    def _endpoint(self) -> Endpoint:
        endpoints = self._sitting.endpoints
        if self._judge not in endpoints:
            endpoints[self._judge] = self._judge.open()
        return endpoints[self._judge]

    def _failed(self, error: Exception) -> Unscored | _Busy:
        why, status = raised(error), getattr(error, "status_code", None)
        again = not why.informative or status in _BUSY or (isinstance(status, int) and status >= _SERVER)
        if again and getattr(error, "code", None) != "insufficient_quota":
            self._judge.pace.done(busy=True, wait=retry_after(error))
            return _Busy(why.reason)
        self._judge.pace.done()
        if isinstance(error, NoEndpointError):
            self._away = Unscored(str(error), informative=False)
            return self._away
        unreadable = status is None or status in {400, 413, 422}  # of these the answer may be the cause
        if unreadable:
            return why
        self._away = Unscored(why.reason, informative=False)
        return self._away


class _Busy(msgspec.Struct, frozen=True):
    """The endpoint could not take a call."""

    why: str


def _delays() -> Iterator[float]:
    delay = 0.5
    while True:
        yield delay
        delay = min(_LONGEST_DELAY, 2 * delay)


def _agreed(said: Sequence[Said]) -> Said:
    """What most repeats said, the first of those; a repeat without a reply leaves the question without one."""
    missing = next((each for each in said if isinstance(each, Unscored)), None)
    if missing is not None:
        return missing
    replies = [each for each in said if isinstance(each, Reply)]
    decisions = [without_reason(each.content) for each in replies]
    most, count = Counter(decisions).most_common(1)[0]
    return msgspec.structs.replace(
        replies[decisions.index(most)],
        usage=sum((each.usage for each in replies), Spent()),
        cached=all(each.cached for each in replies),
        chance=min(each.chance for each in replies),
        agreement=count / len(replies),
    )
