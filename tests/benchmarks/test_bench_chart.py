from xml.etree import ElementTree

from benchmarks import chart


def test_a_report_becomes_a_picture() -> None:
    loads = [
        {"arm": arm, "workload": workload, "callers": callers, "requests_per_s": callers**0.5 * speed}
        for arm, speed in (("aural", 3.0), ("article", 1.0), ("raw", 9.0))
        for workload in ("mix", "15")
        for callers in (1, 5, 20)
    ]
    root = ElementTree.fromstring(chart.draw(loads))
    names = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"aural", "the article's design"} <= names
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
