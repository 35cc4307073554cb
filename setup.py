"""What setup.cfg cannot say: a package index shows the README away from the files that it links to."""

from __future__ import annotations

import re
from typing import Any

import setuptools


class Distribution(setuptools.Distribution):
    """The package of setup.cfg, with links that lead from everywhere into the repository."""

    def parse_config_files(self, *args: Any, **options: Any) -> None:
        super().parse_config_files(*args, **options)
        about = self.metadata
        tag = f"v{about.version}"
        about.long_description = absolute_links(
            about.long_description, about.project_urls["Source"], tag
        )


def absolute_links(text: str, address: str, tag: str) -> str:
    """Markdown whose relative links lead to the files that a tag of the repository at ``address`` has."""
    relative = r"\[[^]]*\]\((?!\w+:|#)"
    text = re.sub(f"!{relative}", rf"\g<0>{address}/raw/{tag}/", text)
    return re.sub(relative, rf"\g<0>{address}/blob/{tag}/", text)


setuptools.setup(distclass=Distribution)
