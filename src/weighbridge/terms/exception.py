"""Riders on a licence (`WITH` in SPDX expressions): which of them only add permissions.

The names are of SPDX's list of exceptions (https://spdx.org/licenses/exceptions-index.html). Those that are left out
are rare, or change more than they add, such as `MPL-2.0-no-copyleft-exception`, which takes the choice of secondary
licences away, or `SHL-2.1`, which rewords Apache-2.0. With them, as with any rider that SPDX does not know, the whole
is another licence.
"""

_NAMES = """
    389-exception Asterisk-exception Autoconf-exception-2.0 Autoconf-exception-3.0 Autoconf-exception-generic
    Autoconf-exception-generic-3.0 Autoconf-exception-macro Bison-exception-1.24 Bison-exception-2.2
    Bootloader-exception Classpath-exception-2.0 CLISP-exception-2.0 cryptsetup-OpenSSL-exception eCos-exception-2.0
    FLTK-exception Font-exception-2.0 GCC-exception-2.0 GCC-exception-2.0-note GCC-exception-3.1
    GNAT-exception GNU-compiler-exception GPL-3.0-linking-exception GPL-CC-1.0 GStreamer-exception-2005
    GStreamer-exception-2008 LGPL-3.0-linking-exception Libtool-exception Linux-syscall-note LLVM-exception
    OCaml-LGPL-linking-exception OpenJDK-assembly-exception-1.0 PCRE2-exception Qt-GPL-exception-1.0
    Qt-LGPL-exception-1.1 Swift-exception u-boot-exception-2.0 Universal-FOSS-exception-1.0 vsftpd-openssl-exception
    WxWindows-exception-3.1 x11vnc-openssl-exception
"""
_ADDING = frozenset(name.lower() for name in _NAMES.split())


def only_adds(exception: str) -> bool:
    """Say whether the exception of this name leaves every permission of its licence as it is, and adds to them."""
    return exception.lower() in _ADDING


def without_additions(expression: str) -> str:
    """Return one licence of an expression without its rider, if that only adds permissions; else as it is."""
    base, _, exception = expression.partition(" WITH ")
    return base if only_adds(exception) else expression
