from resdet.cli.ablate import main

if __name__ == "__main__":
    main()
