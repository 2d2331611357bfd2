"""Answers that speak to the judge, and doubles of judges that believe whatever their format lets through.

python -m tools.hostile
"""
