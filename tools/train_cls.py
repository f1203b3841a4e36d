from resdet.cli.train_cls import main

main()
