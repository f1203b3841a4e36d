from resdet.cli.train_loc import main

if __name__ == "__main__":
    main()
