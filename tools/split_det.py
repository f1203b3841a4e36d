from resdet.cli.split_det import main

if __name__ == "__main__":
    main()
