"""How the offline judge's reading was trained and measured: obtain the data, train, measure."""
