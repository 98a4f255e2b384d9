"""The page people look at: `make report STUDY=...` writes a study as one HTML file (docs/report.md).

page        what the page shows, as typed values; nothing is computed here that an analysis does not compute
verdicts    of each claim the badge, the estimate, its forest plots, the runs it stands on
runs        of each run its state, commit, device and seconds; recipes, departures, versions
charts      matplotlib figures as inline SVG; forest and curves draw them
public      nothing of the machine that trained: no path, user or host name
write       the template filled in; pdf prints it by a browser, where there is one
"""
