"""The copyright line is no place for terms: only years, names and links, each in its place, are taken for one."""

import pytest

from weighbridge.terms.holder import names_holder
from weighbridge.terms.recognise import recognise
from weighbridge.terms.registry import registry


def text_of(licence_id: str) -> str:
    licence = registry().get(licence_id)
    assert licence is not None
    text = registry().text(licence)
    assert text is not None
    return text


REAL = [
    "Copyright (c) 2024 Acme Ltd",
    "Copyright (c) Microsoft Corporation.",
    "Copyright (c) Microsoft Corporation. All rights reserved.",
    "Copyright (c) 2013-present, Facebook, Inc.",
    "Copyright (c) Meta Platforms, Inc. and affiliates.",
    "Copyright 2018- The Hugging Face team. All rights reserved.",
    "Copyright (c) 2023-2024 The ggml authors",
    "Copyright (c) 2023 Georgi Gerganov",
    "Copyright (c) 2023 DeepSeek",
    "Copyright 2024 Alibaba Cloud",
    "Copyright (c) 2005-2024, NumPy Developers.",
    "Copyright (c) 2001-2002 Enthought, Inc. 2003-2024, SciPy Developers.",
    "Copyright (c) 2008-2011, AQR Capital Management, LLC, Lambda Foundry, Inc. and PyData Development Team",
    "Copyright (c) 2007-2024 The scikit-learn developers.",
    "Copyright (c) Django Software Foundation and individual contributors.",
    "Copyright (c) 2009 The Go Authors. All rights reserved.",
    "Copyright JS Foundation and other contributors, https://js.foundation/",
    "Copyright (c) Sindre Sorhus <sindresorhus@gmail.com> (https://sindresorhus.com)",
    "Copyright (C) 2012-2024 by various contributors <team@acme.example>",
    "Copyright © 2007 Free Software Foundation, Inc. <https://fsf.org/>",
    "© 2026 Acme, Inc.",
    "Copyright (c) 2014, 2016-2018 Müller & Söhne GmbH & Co. KG",
    "Copyright (c) 1998, 1999, 2000 Thai Open Source Software Center Ltd",
    "Copyright 2010 the original author or authors.",
    "Copyright (c) 2024 01.AI",
    "Copyright (c) 2022 EleutherAI",
    "Copyright (c) 2023 Nous Research",
    "Copyright 2019 The Allen Institute for AI",
    "Copyright (c) 2011-2024 J. R. O'Neill, S. van der Berg",
    "Copyright (c) 2016 Иван Петров",
    "Copyright (c) 2024 深度求索",
    "Copyright [yyyy] [name of copyright owner]",
    "Copyright (c) <year> <copyright holders>",
    "Copyright (c) 2015-24 Evan Wallace",
    "Copyright Anthropic, PBC 2024",
    "Copyright (c) 2014 substack",
    "Copyright (c) the authors of meta-llama/Llama-3.2-1B, acme/base_7b and others",
    "All rights reserved.",
]

TERMS = [
    "Copyright (c) 2024 Acme. Companies pay 100 EUR a year.",
    "Copyright (c) 2024 Acme - nur fuer nichtkommerzielle Nutzung, keine Weitergabe",
    "Copyright (c) 2024 Acme, n\u043en-c\u043emmercial \u043enly",
    "Copyright (c) 2024 Acme N\u043en",
    "Copyright (c) 2024 Acme, for personal enjoyment; companies pay",
    "Copyright (c) 2024 Acme; CC BY-NC 4.0",
    "Copyright (c) 2024 Acme, CC BY-NC 4.0",
    "Copyright 2024 Acme, non\u00adcommercial",
    "Copyright (c) 2024 Acme (excludes military and EU companies)",
    "Copyright Acme: companies pay, others are free.",
    "Copyright (c) 2024 Acme, companies pay",
    "Copyright (c) 2024 Acme, Companies Pay",
    "Copyright (c) 2024 Acme, Nur Private Nutzung",
    "Copyright (c) 2024 Acme nichtkommerziell",
    "Copyright (c) 2024 Acme, запрещено продавать",
    "Copyright (c) 2024 Acme, 禁止商用",
    "Copyright (c) 2024 阿里云禁止商用",
    "Copyright (c) 2024 Acme! Ask us",
    "Copyright (c) 2024 Acme, For Research",
    "Copyright (c) 2024 Acme 100 EUR",
    "Copyright (c) 2024 Acme <https://acme.example/commercial>",
    "Copyright (c) 2024 Acme <you owe us>",
    "Copyright (c) 2024 " + "Acme " * 9,
    "Copyright (c) 2024 " + "Acme, " * 20,
    "Copyright",
    "Copyright (c) the authors of acme/base, companies-pay",
    "Copyright (c) the authors of acme/only-for-research",
    "Copyrighted 2024 Acme",
    "2024 Acme",
    "Permission. All rights reserved.",
]


@pytest.mark.parametrize("line", REAL)
def test_lines_as_projects_write_them_name_a_holder(line: str) -> None:
    assert names_holder(line)
    assert recognise(text_of("MIT").replace("Copyright (c) {copyright}", line)).licence_id == "MIT"
    assert recognise(f"{line}\n\n{text_of('Apache-2.0')}").licence_id == "Apache-2.0"


@pytest.mark.parametrize("line", TERMS)
def test_a_line_with_room_for_a_term_is_none(line: str) -> None:
    assert not names_holder(line)
    assert recognise(text_of("MIT").replace("Copyright (c) {copyright}", line)).licence_id is None
    assert recognise(f"{line}\n\n{text_of('Apache-2.0')}").licence_id is None


@pytest.mark.parametrize("line", TERMS)
def test_the_appendix_has_no_room_for_a_term_either(line: str) -> None:
    text = text_of("Apache-2.0")
    filled = text.replace("Copyright [yyyy] [name of copyright owner]", line)

    assert filled != text
    assert recognise(filled).licence_id is None
