// The desk works without scripts; what is here makes it quicker.
