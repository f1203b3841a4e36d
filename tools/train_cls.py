from resdet.cli.train_cls import main

if __name__ == "__main__":
    main()
