"""U-SVAE and CAGE: a lung carried through the ages of COVID-19, the tourist crisis and its remedies."""
