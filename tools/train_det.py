from resdet.cli.train_det import main

if __name__ == "__main__":
    main()
