-- New words go into the index of the vocabulary at once, not on a list first. Only workers add any, and seldom; but each search for a word
-- that may be misspelled would read that list from end to end, and it could grow to 4 MB.
ALTER INDEX vocabulary_by_trigram SET (fastupdate = off);
SELECT gin_clean_pending_list('vocabulary_by_trigram');
