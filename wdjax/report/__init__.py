"""A folder of results as one self-contained HTML page.

==========  ==========================================================================
`folder`    what lies there: studies, results, pictures, and what cannot be read
`meanings`  what a result's λ means, and the same λ in every convention
`panels`    the numbers of every cell of a grid, and the ridge of its best decays
`curves`    how a cell's loss and norm went
`drawing`   where cells, marks and lines lie
`maps`      a panel in words and shapes, ready for the template
`page`      all of it as one file: ``wdjax.report.page.write(folder)``
`command`   ``wdjax report``
==========  ==========================================================================

The maps are drawn here, in SVG, and read by a small script of plain JavaScript: what
they need is small, a plotting library inlined would be 4 MB in each report, and cells
that are elements can be reached with the keyboard and named to a screen reader.

A result says what its λ means by its attribute ``meaning``, a name that
:func:`wdjax.convert` knows:

>>> result.attrs["meaning"] = "optax:adamw"
>>> wdjax.sweep.save(result, "results/mine.nc")
"""
