from resdet.cli.responses import main

if __name__ == "__main__":
    main()
