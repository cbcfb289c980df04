"""Measure the contrast of a page's texts with what is behind them, as WCAG 2.2 defines it."""

CONTRASTS = """
[...document.querySelectorAll("body *")].filter(one =>
    one.checkVisibility() && [...one.childNodes].some(n => n.nodeType == 3 && n.data.trim())
).map(one => {
    const parse = text => {
        const [r, g, b, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
        return [...[r, g, b].map(v => text.startsWith("color(srgb") ? v : v / 255), alpha];
    };
    const behind = element => {
        if (!element) return [1, 1, 1];
        const [r, g, b, alpha] = parse(getComputedStyle(element).backgroundColor);
        if (alpha == 1) return [r, g, b];
        return behind(element.parentElement).map((v, i) => v + ([r, g, b][i] - v) * alpha);
    };
    const luminance = colour => {
        const [r, g, b] = colour.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const pair = [parse(getComputedStyle(one).color).slice(0, 3), behind(one)];
    const [low, high] = pair.map(luminance).sort((x, y) => x - y);
    return [(high + 0.05) / (low + 0.05), one.textContent.slice(0, 40)];
})
"""
"""Evaluates to a contrast and the text, for each element with a text of its own that is shown."""
ENOUGH = 4.5  # level AA
