from resdet.cli.complexity import main

if __name__ == "__main__":
    main()
