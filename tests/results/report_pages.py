"""What a plot of the report has drawn, in a real browser."""


def plotted(page, place=0):
    """The figure at a place, drawn."""
    figure = page.locator("figure.plot").nth(place)
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    figure.locator("details").evaluate("part => { part.open = true; }")
    return figure


def traces(figure):
    look = "({name, opacity, x, y, line}) => ({name, opacity, x, y, colour: line.color})"
    return figure.locator(".canvas").evaluate(f"canvas => canvas.data.map({look})")
