from resdet.cli.train_det import main

main()
