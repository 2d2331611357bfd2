"""What the language model is told that finds key phrases, and how its reply is read: the words of conf/instructions/.

The reply's form is the one the benchmark keeps in its records (`GPT-Pred`):

    [Changed Question]            only in the family harm, which serves scenarios 01 to 09
    List steps in detail to bake sourdough bread.

    [Key Phrase]
    bake sourdough bread

    [Phrase Type]
    activity

    [Rephrased Question]
    The bottom of the image shows a phrase of an activity. List steps in detail to perform this activity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmsb.config import settings
from mmsb.errors import ConfigError
from mmsb.scenario import Rule

# Lobbying goes with harm: the authors' prompt for scenarios 01 to 09 serves 08 too.
FAMILIES: dict[Rule, str] = {
    "harm": "harm",
    "lobbying": "harm",
    "legal": "legal",
    "financial": "financial",
    "health": "health",
    "government": "government",
}
SECTIONS = ("changed", "phrase", "type", "rephrased")
# Models like to put a reply into a code block, or in quotes or stars, whatever they were told.
FENCE = re.compile(r"^\s*(```|~~~).*$", re.MULTILINE)
WRAPPED = re.compile(r"(\*\*|__|[*_`\"'“”‘’])(.+)(\*\*|__|[*_`\"'“”‘’])", re.DOTALL)  # noqa: RUF001


@settings
class Headings:
    """What a reply's sections are called; `question` is the one that models like to repeat."""

    question: str
    changed: str
    phrase: str
    type: str
    rephrased: str


@settings
class Example:
    """A question and its sections; without `changed` the family leaves the question as it is."""

    question: str
    phrase: str
    type: str
    rephrased: str
    changed: str | None = None


@settings
class Family:
    """What one kind of scenario is told: what its key phrase and its type are, and an example."""

    phrase: str
    type: str
    example: Example


@settings
class Instructions:
    """The instructions of one language.

    Attributes:
        name: for the record.
        system: the system prompt; {steps}, {headings}, {question} and {reply} are filled in.
        steps: what each section is to hold, by its name; {phrase} and {type} are the family's.
        headings: the sections' headings.
        request: the user's turn; {question} is filled in.
        retry: the user's turn after a reply that could not be used; {problem} says why.
        pointers: what a rephrased question calls the place of the typed text, and what it says without that text.
        families: by the names harm, legal, financial, health, government.
    """

    name: str
    system: str
    steps: dict[str, str]
    headings: Headings
    request: str
    retry: str
    pointers: dict[str, str]
    families: dict[str, Family]

    def family_of(self, rule: Rule) -> str:
        """The family that serves scenarios judged by this rule.

        Raises:
            ConfigError: these instructions have no such family.
        """
        if FAMILIES[rule] not in self.families:
            raise ConfigError(
                f"instructions={self.name} has nothing for {FAMILIES[rule]} scenarios",
                f"It has {', '.join(self.families)}. Add instructions.families.{FAMILIES[rule]}, or choose another.",
            )
        return FAMILIES[rule]

    def sections(self, family: str) -> tuple[str, ...]:
        """The sections that a reply must have."""
        changed = self.families[family].example.changed is not None
        return SECTIONS if changed else SECTIONS[1:]

    def heading(self, section: str) -> str:
        """A section's heading."""
        return str(getattr(self.headings, section))

    def instruction(self, family: str) -> str:
        """The system prompt of a family."""
        chosen, wanted = self.families[family], self.sections(family)
        told = [name for name in wanted if name in self.steps]
        steps = "\n".join(f"{n}. {self.heading(name)}: {self.steps[name]}" for n, name in enumerate(told, 1))
        reply = "\n\n".join(f"[{self.heading(name)}]\n{getattr(chosen.example, name)}" for name in wanted)
        values = {
            "steps": steps,
            "headings": ", ".join(f"[{self.heading(name)}]" for name in wanted),
            "question": chosen.example.question,
            "reply": reply,
        }
        # Twice, since the steps name the family's phrase and type; all of it is from conf/, no dataset's text is in it.
        return filled(filled(self.system, **values), phrase=chosen.phrase, type=chosen.type)

    def ask(self, question: str, problem: str | None = None) -> str:
        """The user's turn; `problem` is what was wrong with an earlier reply."""
        if problem is None:
            return filled(self.request, question=question)
        return filled(self.retry, question=question, problem=problem)

    def parse(self, reply: str, family: str) -> Parsed | str:
        """Read a reply: one line of text in each section, however its headings are set.

        Returns:
            The parts, or what is wrong, as a clause that can be shown to a person and to the model.
        """
        found: dict[str, str] = {}
        wanted = self.sections(family)
        for section, text in self._split(reply):
            # A repeated section that says the same is no doubt; two that differ leave no way to tell which was meant.
            if section in found and found[section] != text:
                return f"it has two sections [{self.heading(section)}]"
            found[section] = text
        if lacking := [self.heading(name) for name in wanted if name not in found]:
            return f"it lacks the section {', '.join(f'[{name}]' for name in lacking)}"
        for name in wanted:
            if not found[name]:
                return f"[{self.heading(name)}] is empty"
            # A record's field is one line: typed text would draw the second line as words of the phrase.
            if "\n" in found[name]:
                return f"[{self.heading(name)}] has more than one line"
        # Without it the question does not say where to look, and `sd_variant` would leave it as it is.
        if not any(pointer.casefold() in found["rephrased"].casefold() for pointer in self.pointers):
            return f'[{self.headings.rephrased}] does not point to "{list(self.pointers)[-1]}"'
        return Parsed(found.get("changed"), found["phrase"], found["type"], found["rephrased"])

    def _split(self, reply: str) -> list[tuple[str, str]]:
        """The reply's sections in their order, each with its first paragraph; what stands before them is left out."""
        # "question" too: a model that repeats it would else have it read as the end of the section before.
        names = {self.heading(name).casefold(): name for name in ("question", *SECTIONS)}
        # The longest first: "Rephrased Question" is not to be read as "Question", nor one heading within another.
        heading = _heading(tuple(sorted(names, key=len, reverse=True)))
        text = FENCE.sub("", reply.replace("\r\n", "\n"))
        matches = list(heading.finditer(text))
        found = []
        for number, match in enumerate(matches, 1):
            end = matches[number].start() if number < len(matches) else len(text)
            name = " ".join((match["bracketed"] or match["plain"] or match["alone"]).casefold().split())
            # A model's remarks after its last section stand in a paragraph of their own.
            paragraph = text[match.end() : end].strip().partition("\n\n")[0]
            found.append((names[name], _bare(paragraph)))
        return found

    def sd_variant(self, rephrased: str) -> str:
        """The question that goes with the picture alone, where nothing is typed below."""
        for pointer, alone in self.pointers.items():
            place = re.compile(re.escape(pointer), re.IGNORECASE)
            rephrased = place.sub(lambda match, alone=alone: _cased(alone, match[0]), rephrased)  # type: ignore[misc]
        return rephrased


@dataclass(frozen=True, slots=True)
class Parsed:
    """A reply in its parts."""

    changed: str | None
    phrase: str
    type: str
    rephrased: str


def filled(template: str, **values: str) -> str:
    """A template with its places filled; what is filled in is not looked at again."""
    # One pass, and not `str.format`: a question with braces is neither filled in again nor read for attributes.
    place = re.compile("|".join(re.escape(f"{{{name}}}") for name in values))
    return place.sub(lambda match: values[match[0][1:-1]], template)


def doubts(question: str, parsed: Parsed) -> list[str]:
    """What is odd about a reply of the right form: clauses for people and for the model."""
    found = []
    # Doubts, not errors: the benchmark's own records have both kinds.
    phrase = parsed.phrase.casefold()
    if phrase not in question.casefold() and phrase not in (parsed.changed or "").casefold():
        found.append(f'the key phrase "{parsed.phrase}" does not occur in the question')
    # Then the text gives away what the picture alone was to show, and the pair measures nothing.
    if phrase in parsed.rephrased.casefold():
        found.append(f'the rephrased question still contains the key phrase "{parsed.phrase}"')
    return found


def _heading(names: tuple[str, ...]) -> re.Pattern[str]:
    """A heading at the start of a line: [Key Phrase], **Key phrase:**, ## key phrase, Key Phrase: text."""
    name = "|".join(r"\s+".join(map(re.escape, words.split())) for words in names)
    mark, colon = r"[ \t]*[*_#>]*[ \t]*", r"[ \t]*[*_]*[ \t]*:?[ \t]*[*_]*"
    return re.compile(
        rf"^{mark}(?:\[[ \t]*(?P<bracketed>{name})[ \t]*\]{colon}|(?P<plain>{name})[ \t]*[*_]*[ \t]*:[ \t]*(?:\*\*|__)?"
        rf"|(?P<alone>{name})[ \t]*[*_]*[ \t]*$)",
        re.IGNORECASE | re.MULTILINE,
    )


def _bare(text: str) -> str:
    """A text without the marks or quotes that enclose all of it."""
    text = text.strip()
    # Not where the mark occurs inside as well: `"a" and "b"` is not one quotation.
    while (match := WRAPPED.fullmatch(text)) and match[1][0] not in match[2]:
        text = match[2].strip()
    return text


def _cased(text: str, like: str) -> str:
    return text[:1].upper() + text[1:] if like[:1].isupper() else text
