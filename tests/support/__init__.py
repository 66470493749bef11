"""What several rings of tests share: real servers that stand in for what is not ours."""
