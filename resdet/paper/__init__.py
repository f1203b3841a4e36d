"""The paper's tables and figures as rows: what each row has in the paper, how it is trained and how it is measured."""
