"""Chat templates written for the tests, after the manner of published ones, and tokenizers that carry them."""

from tiny_models import CHATML, make_tokenizer

TRIMS = CHATML.replace("m['content']", "m['content'] | trim")
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TRIMS
OWN_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Tiny, a helpful assistant.<|im_end|>\n{% endif %}"
    + CHATML
)
DATED = (
    "{%- if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif -%}\n"
    "{{ bos_token }}<|im_start|>system\nToday Date: {{ date_string }}\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}"
    "<|im_end|>\n" + CHATML
)
THINKING = (
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}<|im_start|>{{ m.role }}\n"
    "{%- if ns.n > 99 %}{% break %}{% endif %}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUOTED = (
    "{% for m in messages %}{{ m | tojson }}{{ dict(a=1) | tojson(indent=1) }}{{ m.content }}<|im_end|>\n{% endfor %}"
)
PLAIN_MARKS = (
    "{{ bos_token }}{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
OTHER_END = CHATML.replace("<|im_end|>", "<|end|>")
REFUSES_OPTIONS = "{% if enable_thinking is defined %}{{ raise_exception('unknown option') }}{% endif %}" + CHATML
NEEDS_SYSTEM = "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML

TEMPLATES = {
    "chatml": CHATML,
    "trims": TRIMS,
    "no_system": NO_SYSTEM,
    "own_system": OWN_SYSTEM,
    "dated": DATED,
    "thinking": THINKING,
    "marked": MARKED,
    "quoted": QUOTED,
    "plain_marks": PLAIN_MARKS,
    "other_end": OTHER_END,
    "refuses_options": REFUSES_OPTIONS,
    "needs_system": NEEDS_SYSTEM,
}


def tokenizer_with(template, end=None):
    """The tiny tokenizer with another template; `end`: one more token, special or not."""
    tokenizer = make_tokenizer()
    if end is not None:
        tokenizer.add_tokens([end], special_tokens=end.special)
    tokenizer.chat_template = template
    return tokenizer


def turns(*contents):
    """User and assistant in turn."""
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
