"""The report as a program without a browser reads it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The tags, the texts and the scripts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.scripts, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.words.append(data)
        elif self.open[-1] == "script":
            self.scripts.append(data)

    @property
    def sentences(self):
        """The texts as one line."""
        return " ".join("".join(self.words).split())

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]
