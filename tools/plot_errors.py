from resdet.cli.plot_errors import main

if __name__ == "__main__":
    main()
