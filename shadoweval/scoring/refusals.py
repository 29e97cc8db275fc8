"""Whether an answer gives none: it is empty, or says at its beginning that it can't or won't, and says nothing else.

By what such answers say, in English and a dozen other languages. An apology alone is none ("I'm sorry to hear that.
Your refund is on its way"), nor is a reservation before an answer ("As an AI I have no opinions. However, it is 42").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from shadoweval.checks import checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer

__all__ = ["refusal", "refuses"]

_APOLOGY: Final = (
    r"(?:(?:i'?m|i am|we'?re|we are) )?(?:(?:very|so|really|terribly|truly) )?sorry|i apologi[sz]e|(?:my )?apologies|"
    r"(?:es )?tut (?:mir|uns) (?:sehr )?leid|(?:je suis |nous sommes )?désolée?s?|lo siento(?: mucho)?|"
    r"(?:mi|ci) dispiace|"
    r"(?:me )?desculpe|sinto muito|het spijt (?:me|ons)|przepraszam|üzgünüm|извините|простите|к сожалению|"
    r"很?抱歉|对不起|對不起|申し訳(?:ございません|ありません)?|すみません|죄송(?:합니다|하지만)|عذرا|عذرًا|آسف|ขออภัย|ขอโทษ"
)
_LEAD: Final = re.compile(
    rf"\W*(?:(?:{_APOLOGY})(?: (?:for|about|to hear|that)\b[^.,!;。，、]{{0,80}})?(?: but)?"
    r"|(?:hello|hi|hey)(?: there)?|thank(?:s| you)[^.,!;]{0,60}|but\b|yet\b|unfortunately|regrettably|"
    r"i'?m afraid(?: that)?|(?:based on|according to|from|in)(?: the| your| these)?"
    r" (?:provided|given|available|retrieved|context|documents?|sources?|passages?|search results?|information)"
    r"[^.,!;]{0,60},|"
    r"as an? (?:ai|artificial|(?:large )?language|virtual|digital)\b[^.,!;]{0,50},|"
    r"leider|malheureusement|lamentablemente|desafortunadamente|purtroppo|infelizmente|helaas|niestety|maalesef|aber|mais|"
    r"pero|ma|mas|maar|но|但是?|不过)[\s.,!;:。，、،؛\u2013\u2014-]*"
)
_SOURCES: Final = r"(?:context|documents?|sources?|passages?|texts?|information|search results?|articles?|excerpts?)"
_UNABLE: Final = re.compile(
    r"(?:that i |which i )?(?:i|we)(?: am| are|'m|'re)? (?:"
    r"(?:can ?not|can't|could ?n[o']t|couldn't|could not|won't|will not|would not|am unable|are unable|unable|not able|"
    r"not allowed|not permitted|not sure|not certain|not aware|not familiar)\b|(?:do not|don't|did not|didn't) "
    r"(?:currently |actually |yet )?(?:know|have|see|find|possess|recall|understand)\b|"
    r"(?:have|found|see|find) no (?:\w+ ){0,2}(?:information|data|record|idea|knowledge|access|answer|results?|"
    r"mention)\b)"
    rf"|(?:the |this |your |these |that )?(?:\w+ )?{_SOURCES}(?: \w+){{0,3}} (?:does|do|did)(?: not|n't) (?:\w+ )?"
    r"(?:contain|include|mention|provide|specify|say|state|have|answer|address|give|cover)\b"
    rf"|there (?:is|are|was|were) (?:no|not enough|insufficient) (?:\w+ ){{0,3}}(?:information|mention|data|answer|"
    rf"{_SOURCES})"
    rf"|(?:(?:that|this|it|the answer)(?: information)? (?:is|was) )?not (?:\w+ )?(?:mentioned|specified|stated|"
    rf"provided|available|given|found) in (?:the|this|these|your|any) (?:\w+ )?{_SOURCES}"
    rf"|(?:the )?(?:answer|question|information|this|that|it)(?: to (?:that|this|your question))? (?:is|was) not "
    rf"in the (?:\w+ )?{_SOURCES}"
    r"|(?:the |this |your |that )?(?:question|answer|it|this) (?:can ?not|can't) be (?:answered|determined|found)\b"
    r"|it is (?:not possible|impossible) to (?:answer|determine|say|tell)\b|(?:there is )?insufficient information\b"
    rf"|there (?:isn't|aren't|is not|are not) (?:any|enough) (?:\w+ ){{0,2}}(?:information|mention|data|"
    rf"answer|{_SOURCES})"
    rf"|no (?:\w+ ){{0,2}}(?:answer|results?|data|{_SOURCES}) (?:\w+ ){{0,2}}(?:found|available|provided)\b"
    r"|(?:i|we) (?:must|have to) (?:respectfully |politely )?decline\b"
    r"|(?:dazu |darüber |hierzu )habe ich (?:leider )?kein"
    r"|(?:that|this|it)(?: is|'s) (?:beyond|outside)(?: of)? (?:my|what i)\b"
    r"|(?:das |dies |ich |wir )?(?:(?:kann|können|weiss|wissen|darf)\b[^.!?]{0,80}\bnicht\b|"
    r"(?:habe|haben) (?:leider )?kein)"
    r"|(?:ich|wir) (?:bin|sind)[^.!?]{0,30} nicht in der lage|(?:das )?weiss ich (?:leider )?nicht"
    r"|(?:je|nous) (?:ne |n'|n’)[^.!?]{0,12}(?:peux|pouvons|sais|savons|suis|ai|dispose|disposons|trouve)\b"
    r"|no (?:puedo|podemos|sé|sabemos|tengo|tenemos|dispongo|encuentro|encontré|me es posible)\b"
    r"|non (?:posso|possiamo|so|sono in grado|ho|dispongo|trovo)\b"
    r"|(?:eu )?não (?:posso|podemos|sei|tenho|consigo|encontrei|é possível)\b"
    r"|(?:ik|we|wij) (?:kan|kunnen|weet|weten|heb|hebben)[^.!?]{0,60} (?:niet|geen)\b|dat (?:weet|kan) ik niet"
    r"|nie (?:mogę|możemy|wiem|mam|jestem w stanie)\b"
    r"|(?:я |мы )?не (?:могу|можем|знаю|знаем|располагаю|нашел|нашла|нашёл|удалось)\b|у меня нет\b"
    r"|(?:我|我们|我們)?(?:目前|暂时)?(?:无法|無法|不能|不知道|不清楚|没有|沒有)"
    r"|(?:لا|لم) (?:أستطيع|يمكنني|أعرف|أعلم|أملك|أجد|نستطيع|يمكننا)|(?:ผม|ฉัน|เรา|ดิฉัน)?ไม่(?:สามารถ|ทราบ|รู้|มีข้อมูล)"
)
_UNABLE_AT_END: Final = re.compile(
    r"[^。.!?]{0,30}(?:できません|できかねます|わかりません|分かりません|存じません|見つかりません)"
    r"|[^.!?]{0,40}(?:할 수 없|수 없습니다|모르겠|모릅니다|없습니다)"
)
"""Where the verb, and with it the no, comes last."""
_TURN: Final = re.compile(
    r"\b(?:however|but|nevertheless|nonetheless|that said|having said|still,|allerdings|jedoch|aber|dennoch|cependant|"
    r"toutefois|néanmoins|mais|sin embargo|no obstante|pero|tuttavia|però|no entanto|porém|mas|echter|maar|jednak|"
    r"однако|но)\b|但是|不过|然而|しかし|ただし|하지만|그러나|다만|لكن"
)
_REFERRAL: Final = re.compile(
    r"\b(?:recommend|suggest|check|visit|contact|consult|refer|reach out|if you|feel free|happy to|glad to|please|"
    r"let me|try|you (?:can|could|may|might|should)|help you|assist|empfehle|wenden|bitte|gern|recommande|veuillez|"
    r"n'hésitez|recomiendo|puedes|puede|por favor|consiglio|contatta|recomendo|pode|рекомендую|обрат|попробуйте)|"
    r"建议|建議|请|請|联系|ください|お問い合わせ|문의|يرجى|กรุณา"
)
_TURNED: Final = 70
"""Characters after a "however" within which a referral shows; what else stands there is an answer."""
_BEGINNING, _READ = 240, 2_000
"""Characters in which a refusal begins, and in which what follows it is looked for."""
_SHORT: Final = 60
_BARE: Final = re.compile(rf"\W*(?:{_APOLOGY}|n/?a|unknown|no answer|none)\W*")


def refuses(answer: str) -> bool:
    """Whether the answer says that it can't or won't answer, and gives none after that."""
    answer = answer.lstrip()
    text = _plain(answer[:_BEGINNING])
    start = 0
    while lead := _LEAD.match(text, start):
        start = lead.end()
    unable = _UNABLE.match(text, start) or (None if text.isascii() else _UNABLE_AT_END.match(text, start))
    if unable is None:
        return len(text) < _SHORT and _BARE.fullmatch(text) is not None
    text = _plain(answer[:_READ])
    turn = _TURN.search(text, unable.end())
    return turn is None or _REFERRAL.search(text[turn.end() : turn.end() + _TURNED]) is not None


def _plain(text: str) -> str:
    text = text.replace("\u2019", "'").casefold()
    return " ".join(text.split()) if "\n" in text or "  " in text else text.lstrip()


@checked_keywords()
def refusal() -> PairScorer:
    """`refusal`: 1 where the answer gives none, else 0; less is better.

    An empty answer gives none. What such answers say is known in English and a dozen other languages (`refuses`).
    """

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        answer = observation.outcome.answer if observation.outcome else None
        return {"refusal": NO_TEXT if answer is None else Scored(float(not answer.strip() or refuses(answer)))}

    metric = Metric(name="refusal", higher_is_better=False)
    return PairScorer(metrics=(metric,), version="refusal/1", score_one=score_one)
