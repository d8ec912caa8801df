"""Files of labels and features as SEWA (AVEC 2019), RECOLA and MuSe have them, turned into the layout `features`.

    python -m iaca.corpora.convert avec2019|recola|muse SOURCE ROOT --audio FOLDER --visual FOLDER [--delay 2.4] ...

One module per corpus says where its files are and which partition each recording is in; the rest is shared.
"""
