"""What a person looks at: drawn detections (`drawing`), curves (`curves`), tables (`tables`) and run pages (`page`).

Arrays and numbers in, pictures and text out: nothing here knows a network, a data set or a config.
"""
