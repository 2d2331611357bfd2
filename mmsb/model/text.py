"""Text-only models of transformers: causal LMs that generate, and classifiers that score. Judges use both.

A prompt that carries a reply is shown as two turns, as guard models expect. The Jinja template may also be a
published prompt format, so that special tokens in what is judged are defused like anywhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.errors import ConfigError, ModelError
from mmsb.hub import check_at_hand
from mmsb.model.adapter import adapted
from mmsb.model.cache import growing_cache
from mmsb.model.device import pick_device
from mmsb.model.generation import arguments, asked, defused, read_output, special_tokens
from mmsb.model.hf import refuse_unmatched
from mmsb.model.local import Local
from mmsb.model.template import check_template, template_text
from mmsb.types import How, Prompt, Response


@dataclass(frozen=True)
class Loaded:
    """A model of transformers with its tokenizer, on its device."""

    model: Any
    tokenizer: Any
    specials: re.Pattern[str]


@settings
class Text(Local):
    """A causal language model.

    Attributes:
        template: a chat template in place of the model's own: Jinja, or a file of it.
        template_arguments: further variables of the template (guardian_config of Granite Guardian, say).
        stop: strings that end an answer (cut off from it).
        attention: attn_implementation of transformers.
        device_map: spread the weights over devices ("auto"), instead of `device`.
    """

    template: str | None = None
    template_arguments: dict[str, Any] = Field(default_factory=dict)
    stop: tuple[str, ...] = ()
    attention: str = "sdpa"
    device_map: str | None = None

    LOADING: ClassVar[tuple[str, ...]] = (*Local.LOADING, "attention", "device_map")
    SEES_REPLY: ClassVar[bool] = True

    def check(self) -> None:
        """See `Local.check`, and the template (a ConfigError too)."""
        super().check()
        check_template(self.template, self.template_arguments, parts=False)

    def content(self) -> dict[str, object]:
        """Template and stops."""
        return {"template": template_text(self.template), "arguments": self.template_arguments, "stop": list(self.stop)}

    def load(self) -> Loaded:
        """Load tokenizer and weights; every key must match.

        Raises:
            ModelError: not found, not a causal language model, or keys that do not match.
        """
        return _load(self, "AutoModelForCausalLM", self.attention, self.device_map)

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch: through the chat template, padded on the left.

        Raises:
            ModelError: a prompt has a picture, or the model has no chat template.
        """
        texts = [self.rendered(loaded, prompt) for prompt in batch]
        return loaded.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")

    def run(self, loaded: Loaded, inputs: Any, seed: int) -> list[Response]:
        """Answer a batch."""
        return self.run_as(loaded, inputs, seed, How())

    def run_as(self, loaded: Loaded, inputs: Any, seed: int, how: How) -> list[Response]:
        """Answer a batch as a guard is asked."""
        import torch

        tokenizer, inputs = loaded.tokenizer, inputs.to(loaded.model.device)
        settled = asked(arguments(self.decoding, self.max_new_tokens, self.stop, tokenizer), how)
        torch.manual_seed(seed)
        with torch.inference_mode():
            # Only these two: some tokenizers give token types as well, which causal models refuse.
            output = loaded.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                **settled,
                **growing_cache(loaded.model, settled),
            )
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return read_output(tokenizer, output, inputs["input_ids"].shape[1], counts, settled, self.stop, how)

    def rendered(self, loaded: Loaded, prompt: Prompt) -> str:
        """The prompt as the text that is tokenized."""
        how = prompt.how or How()
        if prompt.image is not None:
            raise ModelError(f"{self.name} reads text only", "Use image_mode=text_only, or a model that sees pictures.")
        if how.whole:
            return prompt.text
        if self.template is None and loaded.tokenizer.chat_template is None:
            raise ModelError(f"{self.name} has no chat template", "Give one in template, as Jinja.")
        messages = self._messages(loaded, prompt)
        shown = self._shown(loaded, messages, how)
        said = [message["content"].strip() for message in messages]
        # The template of Llama Guard 3 1B reads lists of parts and takes a plain string for an empty turn, of which the
        # guard says that it is safe.
        if self.template is None and any(text not in shown for text in said):
            for message in messages:
                message["content"] = [{"type": "text", "text": message["content"]}]
            shown = self._shown(loaded, messages, how)
            if any(text not in shown for text in said):
                raise ModelError(f"{self.name}: its chat template leaves out what it is shown", "Give one in template.")
        return shown

    def _messages(self, loaded: Loaded, prompt: Prompt) -> list[dict[str, Any]]:
        """The prompt as a chat."""
        closing = prompt.how.closing if prompt.how else None
        said = {"system": prompt.system, "user": prompt.text, "assistant": prompt.reply}
        # The reply that is judged too: one that holds a turn's end could else write the guard's verdict itself.
        turns = [(role, defused(text, loaded.specials)) for role, text in said.items() if text is not None]
        turns += [("user", closing)] if closing is not None else []
        return [{"role": role, "content": text} for role, text in turns]

    def _shown(self, loaded: Loaded, messages: list[dict[str, Any]], how: How) -> str:
        """Messages through the chat template."""
        shown: str = loaded.tokenizer.apply_chat_template(
            messages,
            chat_template=template_text(self.template),
            add_generation_prompt=True,
            tokenize=False,
            **{**self.template_arguments, **json.loads(how.arguments)},
        )
        return shown


@settings
class Classifier(Local):
    """A sequence classifier. Its answer is JSON: each label with its probability.

    {"NORMAL": 0.0132, "REJECTION": 0.9868}

    Attributes:
        template: Jinja over `user` and `assistant` (the prompt's text and reply) that gives the text to classify.
        max_tokens: longer texts are cut at their end.
        max_new_tokens: not used; a classifier generates nothing.
    """

    template: str = "{{ assistant }}"
    max_tokens: PositiveInt = 512

    SEES_REPLY: ClassVar[bool] = True

    def check(self) -> None:
        """See `Local.check`; and the template.

        Raises:
            ConfigError: it is no Jinja.
        """
        from jinja2 import TemplateSyntaxError

        super().check()
        try:
            self._compiled()
        except TemplateSyntaxError as error:
            problem = f"{self.name}: template is no Jinja: {error.message} (line {error.lineno})"
            raise ConfigError(problem, "Write it over user and assistant, as in {{ assistant }}.") from error

    def content(self) -> dict[str, object]:
        """What is classified."""
        return {"template": self.template, "max_tokens": self.max_tokens}

    def load(self) -> Loaded:
        """Load tokenizer and weights; every key must match.

        Raises:
            ModelError: not found, not a sequence classifier, or keys that do not match.
        """
        return _load(self, "AutoModelForSequenceClassification")

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode what is classified."""
        template = self._compiled()
        texts = [
            template.render(
                user=defused(prompt.text, loaded.specials), assistant=defused(prompt.reply or "", loaded.specials)
            )
            for prompt in batch
        ]
        return loaded.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")

    def _compiled(self) -> Any:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        # Sandboxed: a template may come with a preset of somebody else's.
        return ImmutableSandboxedEnvironment().from_string(self.template)

    def run(self, loaded: Loaded, inputs: Any, seed: int) -> list[Response]:
        """Classify a batch."""
        import torch

        with torch.inference_mode():
            logits = loaded.model(**inputs.to(loaded.model.device)).logits.float()
        labels = loaded.model.config.id2label
        return [
            Response(json.dumps({labels[number]: round(value, 4) for number, value in enumerate(row)}))
            for row in logits.softmax(dim=-1).tolist()
        ]


def _load(model: Local, kind: str, attention: str = "sdpa", device_map: str | None = None) -> Loaded:
    import transformers

    check_at_hand(f"{model.name}: name_or_path", model.name_or_path, model.revision)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model.name_or_path, revision=model.revision)
        loaded, info = getattr(transformers, kind).from_pretrained(
            model.name_or_path,
            revision=model.revision,
            dtype=model.dtype,
            attn_implementation=attention,
            device_map=device_map,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelError(
            f"{model.name}: {model.name_or_path} cannot be loaded: {str(error).strip().splitlines()[0]}",
            "Give a folder on disk or a hub id (gated ones need HF_TOKEN in the environment).",
        ) from error
    refuse_unmatched(model.name_or_path, info)
    if device_map is None:
        loaded.to(pick_device(model.device))
    loaded = adapted(loaded.eval(), model.adapter, model.name_or_path)
    # Classifiers read their first token, or the last one before the padding.
    tokenizer.padding_side = "left" if kind == "AutoModelForCausalLM" else "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Loaded(loaded, tokenizer, special_tokens(tokenizer))
